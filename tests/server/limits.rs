//! Where there is no room for more.

use std::net::TcpStream;

use super::device::{Device, Secured};
use super::rig::Rig;

#[test]
fn at_the_connection_limit_accepting_pauses_and_the_api_goes_on() {
    for shards in [1, 3] {
        let rig = Rig::start_with(|options| {
            options.connections_max = Some(2);
            options.shards = shards;
        });
        let mut carol = Device::connect(&rig, "carol");
        let bob = Device::connect(&rig, "bob");
        let waiting: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(rig.addresses.devices).expect("the kernel takes it")).collect();
        rig.notify("carol", "1");
        assert_eq!(carol.next_payloads(), ["1"]);
        carol.ack();
        rig.await_counter("pending", 0);
        assert_eq!(rig.counter("accepted"), 2);

        drop(bob);
        let mut waiting = waiting.into_iter();
        let first = waiting.next().expect("three wait");
        let eve = Device::over(Secured::over(first, &rig.trust), "eve");
        assert_eq!(rig.counter("accepted"), 3);
        drop((eve, waiting));
        rig.await_counter("connections", 1);
        carol = Device::connect(&rig, "carol");
        rig.notify("carol", "2");
        assert_eq!(carol.next_payloads(), ["2"]);
    }
}
