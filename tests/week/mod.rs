//! A week in the pocket of somebody who works, travels and sleeps: what it costs a phone to be reachable all
//! the while, by the parts that the push service is made of, and beside it by a model of the existing
//! service. Drawn from a seed, on virtual time; the way through the network takes none.
//! `cargo test --test week` holds it within bounds; `examples/week` tells the figures.

#[path = "../simulation/dice.rs"]
mod dice;
mod existing;
mod figures;
mod phone;
mod server;
mod trip;

use std::time::Duration;

use lomiri_push::base::{MessageId, Monotonic};

use self::dice::Dice;
use self::existing::Existing;
pub use self::figures::Figures;
use self::phone::Phone;
use self::trip::{MINUTE, Network, Stay, WEEK};

const DAYS: u32 = 7;
const DAY: Duration = Duration::from_secs(24 * 3_600);
const MESSAGES_PER_DAY: u32 = 40;
/// One in so many comes at night.
const AT_NIGHT: u32 = 10;
const MORNING: Duration = Duration::from_secs(7 * 3_600);
const EVENING: Duration = Duration::from_secs(23 * 3_600);
/// The server is restarted on Wednesday at noon, which takes it two minutes.
const STOPS: Monotonic = Monotonic(Duration::from_secs((2 * 24 + 12) * 3_600));
const DOWN: Duration = Duration::from_secs(120);

/// A phone that is carried about: what happens to it.
trait Carried {
    fn move_to(&mut self, network: Option<Network>, now: Monotonic);
    fn post(&mut self, message: MessageId, now: Monotonic);
    fn stop_server(&mut self, now: Monotonic);
    fn start_server(&mut self);
    fn next_deadline(&self) -> Option<Monotonic>;
    fn handle_timeout(&mut self, now: Monotonic);
    fn into_figures(self) -> Figures;
}

/// What a week comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week {
    pub posted: usize,
    /// How often the phone came to a network, the same again or another.
    pub arrivals: usize,
    pub ours: Figures,
    /// A model of the existing service.
    pub existing_model: Figures,
}

/// A figure's name, and what it is.
pub type Row = (&'static str, fn(&Figures) -> usize);

/// The figures in the order in which they are told.
pub const ROWS: [Row; 12] = [
    ("wake_ups", |figures| figures.wake_ups),
    ("by_timer", |figures| figures.by_timer),
    ("by_radio", |figures| figures.by_radio),
    ("by_network", |figures| figures.by_network),
    ("connects_full", |figures| figures.connects_full),
    ("connects_resumed", |figures| figures.connects_resumed),
    ("connects_failed", |figures| figures.connects_failed),
    ("lost", |figures| figures.lost),
    ("keepalives", |figures| figures.keepalives),
    ("bytes", |figures| figures.bytes),
    ("delay_s_p50", |figures| figures.delay_s_p50),
    ("delay_s_max", |figures| figures.delay_s_max),
];

/// What happens, whatever phone it is.
#[derive(Clone, Copy)]
enum Happening {
    Stay(Stay),
    Post(MessageId),
    StopServer,
    StartServer,
}

/// Lives the week of a seed.
pub fn live(seed: u64) -> Week {
    let mut dice = Dice::new(seed);
    let stays = trip::draw(&mut dice);
    let posts = posts(&mut dice);
    let arrivals = count_arrivals(&stays);
    let posted = posts.len();
    let stays = stays.into_iter().map(|stay| (stay.from, Happening::Stay(stay)));
    let posts = posts.into_iter().map(|(at, id)| (at, Happening::Post(id)));
    let restart = [(STOPS, Happening::StopServer), (STOPS + DOWN, Happening::StartServer)];
    let mut happenings: Vec<_> = stays.chain(posts).chain(restart).collect();
    happenings.sort_by_key(|(at, _)| *at);
    let ours = carry(Phone::new(Dice::new(seed)), &happenings);
    let existing_model = carry(Existing::new(Dice::new(seed)), &happenings);
    Week { posted, arrivals, ours, existing_model }
}

fn posts(dice: &mut Dice) -> Vec<(Monotonic, MessageId)> {
    let mut posts = Vec::new();
    for number in 0..DAYS * MESSAGES_PER_DAY {
        let (day, is_at_night) = (number / MESSAGES_PER_DAY, number % AT_NIGHT == 0);
        let [from, span] =
            if is_at_night { [EVENING, DAY - EVENING + MORNING] } else { [MORNING, EVENING - MORNING] };
        let at = Monotonic(DAY * day + from + dice.millis(span.as_millis() as u64));
        let mut id = [0; 16];
        dice.fill(&mut id);
        posts.push((at, MessageId(id)));
    }
    // Those after the last midnight come before it.
    let end = Monotonic(WEEK - MINUTE * 30);
    posts.into_iter().map(|(at, id)| (at.min(end), id)).collect()
}

fn count_arrivals(stays: &[Stay]) -> usize {
    let name = |stay: &Stay| stay.network.map(|network| network.name);
    let moves = stays.windows(2).filter(|pair| name(&pair[0]) != name(&pair[1]) && name(&pair[1]).is_some());
    1 + moves.count()
}

fn carry(mut phone: impl Carried, happenings: &[(Monotonic, Happening)]) -> Figures {
    for (at, happening) in happenings {
        pass(&mut phone, *at);
        match happening {
            Happening::Stay(stay) => phone.move_to(stay.network, *at),
            Happening::Post(id) => phone.post(*id, *at),
            Happening::StopServer => phone.stop_server(*at),
            Happening::StartServer => phone.start_server(),
        }
    }
    pass(&mut phone, Monotonic(WEEK));
    phone.into_figures()
}

/// Lets time pass until then, from deadline to deadline.
fn pass(phone: &mut impl Carried, until: Monotonic) {
    while let Some(due) = phone.next_deadline().filter(|due| *due < until) {
        phone.handle_timeout(due);
    }
}
