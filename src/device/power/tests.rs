//! Services that keep a machine awake, and say what they were asked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use zbus::Message;
use zbus::blocking::Connection;
use zbus::zvariant::OwnedFd;

use super::*;
use crate::device::clock::now;
use crate::device::private_bus::PrivateBus;

const PATIENCE: Duration = Duration::from_secs(20);

fn next(asked: &Receiver<String>) -> String {
    asked.recv_timeout(PATIENCE).expect("something is asked")
}

/// Repowerd or powerd: grants what it is asked for, under numbered cookies.
fn answer_like_repowerd(asked: Sender<String>) -> impl FnMut(&Connection, &Message) + Send + 'static {
    let mut cookies = 0;
    move |bus, call| {
        let (header, body) = (call.header(), call.body());
        let member = header.member().expect("a call has one").as_str();
        let text = match member {
            "requestSysState" => format!("{:?}", body.deserialize::<(String, i32)>().expect("s, i")),
            "requestWakeup" => format!("{:?}", body.deserialize::<(String, u64)>().expect("s, t").0),
            _ => format!("{:?}", body.deserialize::<String>().expect("s")),
        };
        cookies += usize::from(member.starts_with("request"));
        match member.starts_with("request") {
            true => bus.reply(&header, &format!("cookie {cookies}")),
            false => bus.reply(&header, &()),
        }
        .expect("connected");
        asked.send(format!("{member} {text}")).expect("the test listens");
    }
}

#[test]
fn a_machine_is_kept_awake_while_any_lock_is_held() {
    for name in ["com.lomiri.Repowerd", "com.canonical.powerd"] {
        let Some(bus) = PrivateBus::start() else { return };
        let (tell, asked) = channel();
        let _service = bus.serve(name, answer_like_repowerd(tell));
        let power = Power::on_bus(bus.address()).expect("a thread");
        let first = power.hold();
        assert_eq!(next(&asked), "requestSysState (\"lomiri-push\", 1)", "{name}");
        let second = power.hold();
        drop(first);
        drop(second);
        assert_eq!(next(&asked), "clearSysState \"cookie 1\"");
        let _third = power.hold();
        assert_eq!(next(&asked), "requestSysState (\"lomiri-push\", 1)");
    }
}

#[test]
fn a_machine_is_woken_at_one_time_at_once() {
    let Some(bus) = PrivateBus::start() else { return };
    let (tell, asked) = channel();
    let _service = bus.serve("com.lomiri.Repowerd", answer_like_repowerd(tell));
    let power = Power::on_bus(bus.address()).expect("a thread");
    let alarm = alarm_of(&power);
    let hour = now() + Duration::from_secs(3_600);
    alarm.set(Some(hour));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    alarm.set(Some(hour));
    alarm.set(Some(hour + Duration::from_secs(60)));
    assert_eq!(next(&asked), "clearWakeup \"cookie 1\"");
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    alarm.set(None);
    assert_eq!(next(&asked), "clearWakeup \"cookie 2\"");
}

/// What wakes the machine by a service.
fn alarm_of(power: &Power) -> Alarm {
    Alarm::Service(ServiceAlarm { power: power.clone(), set_to: Mutex::default() })
}

/// Says that the machine has been woken.
fn wake(service: &Connection) {
    let name = "com.lomiri.Repowerd";
    service.emit_signal(None::<&str>, "/com/lomiri/Repowerd", name, "Wakeup", &()).expect("connected");
}

#[test]
fn a_machine_that_was_woken_stays_awake_until_the_work_is_done() {
    let Some(bus) = PrivateBus::start() else { return };
    let (tell, asked) = channel();
    let service = bus.serve("com.lomiri.Repowerd", answer_like_repowerd(tell));
    let power = Power::on_bus(bus.address()).expect("a thread");
    let alarm = alarm_of(&power);
    alarm.set(Some(now()));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    wake(&service);
    assert_eq!(next(&asked), "clearWakeup \"cookie 1\"");
    assert_eq!(next(&asked), "requestSysState (\"lomiri-push\", 1)");
    alarm.set(Some(now() + Duration::from_secs(3_600)));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"", "it does not sleep before that is clear");
    assert_eq!(next(&asked), "clearSysState \"cookie 2\"");
}

#[test]
fn a_machine_that_was_woken_too_early_is_woken_again_and_may_sleep_meanwhile() {
    let Some(bus) = PrivateBus::start() else { return };
    let (tell, asked) = channel();
    let service = bus.serve("com.lomiri.Repowerd", answer_like_repowerd(tell));
    let power = Power::on_bus(bus.address()).expect("a thread");
    let alarm = alarm_of(&power);
    alarm.set(Some(now() + Duration::from_secs(3_600)));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    wake(&service);
    assert_eq!(next(&asked), "clearWakeup \"cookie 1\"");
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    drop((alarm, power));
    assert_eq!(next(&asked), "clearWakeup \"cookie 2\"", "nobody is left who could want it");
}

#[test]
fn a_service_that_has_started_anew_is_asked_anew() {
    let Some(bus) = PrivateBus::start() else { return };
    let (tell, asked) = channel();
    let service = bus.serve("com.lomiri.Repowerd", answer_like_repowerd(tell.clone()));
    let power = Power::on_bus(bus.address()).expect("a thread");
    alarm_of(&power).set(Some(now() + Duration::from_secs(3_600)));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
    service.release_name("com.lomiri.Repowerd").expect("it has it");
    let _service = bus.serve("com.lomiri.Repowerd", answer_like_repowerd(tell));
    assert_eq!(next(&asked), "requestWakeup \"lomiri-push\"");
}

#[test]
fn logind_keeps_a_machine_awake_until_its_descriptor_is_closed() {
    let Some(bus) = PrivateBus::start() else { return };
    let (tell, asked) = channel();
    let _service = bus.serve("org.freedesktop.login1", move |bus, call| {
        let (what, _, _, mode): (String, String, String, String) = call.body().deserialize().expect("ssss");
        let (mut held, given) = std::io::pipe().expect("descriptors are left");
        bus.reply(&call.header(), &OwnedFd::from(std::os::fd::OwnedFd::from(given))).expect("connected");
        tell.send(format!("{what} {mode}")).expect("the test listens");
        let tell = tell.clone();
        thread::spawn(move || {
            std::io::Read::read(&mut held, &mut [0]).expect("a pipe");
            tell.send("closed".into())
        });
    });
    let power = Power::on_bus(bus.address()).expect("a thread");
    let lock = power.hold();
    assert_eq!(next(&asked), "sleep block");
    drop(lock);
    assert_eq!(next(&asked), "closed");
}

#[test]
fn a_machine_that_offers_nothing_is_asked_for_nothing() {
    let nowhere = "unix:path=/nonexistent/bus".parse().expect("an address");
    for power in [Power::nobodys(), Power::on_bus(nowhere).expect("a thread")] {
        let lock = power.hold();
        power.alarm().set(Some(now()));
        drop(lock);
    }
}
