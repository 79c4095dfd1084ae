//! A push service that answers by heart, on a real bus.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use lomiri_push::base::AppId;
use lomiri_push::device::bus::{Address, Answer, Ask, Bus, BusError, CallError, Check, News, Options};

/// Only a broken service takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MUSIC: &str = "com.ubuntu.music_music";

/// The bus side of a service, and what comes to it.
pub fn connect(address: &Address, check: Check) -> Result<(Bus, Receiver<News>), BusError> {
    let (sender, news) = sync_channel(64);
    let options = Options {
        is_installed: Box::new(|app| !app.as_str().starts_with("com.missing_")),
        check,
        // A call for which there is no room is dropped, and so answered.
        told: Box::new(move |event| drop(sender.try_send(event))),
    };
    Bus::connect(address, options).map(|bus| (bus, news))
}

/// A service that answers until the bus goes.
pub fn start(address: &Address) {
    let (bus, news) = connect(address, Check::Auto).expect("the bus is free");
    thread::spawn(move || {
        let mut mailboxes = BTreeMap::new();
        for event in news {
            match event {
                News::Call(call) => match answer(&bus, &mut mailboxes, call.ask) {
                    Ok(answer) => call.responder.answer(answer),
                    Err(error) => call.responder.fail(error),
                },
                News::Gone(_) => return,
            }
        }
    });
}

fn answer(bus: &Bus, mailboxes: &mut BTreeMap<AppId, Vec<String>>, ask: Ask) -> Result<Answer, CallError> {
    Ok(match ask {
        Ask::Register(app) if app.as_str() == "_refused" => return Err(CallError::BadAuth),
        Ask::Register(app) => Answer::Token(format!("token-of-{app}")),
        Ask::RegisterUser(app) => Answer::Token(format!("user-token-of-{app}")),
        Ask::Post(_, json) if !json.starts_with('{') => return Err(CallError::BadJson),
        Ask::Post(app, json) => {
            mailboxes.entry(app.clone()).or_default().push(json);
            bus.announce(&app);
            Answer::Done
        }
        Ask::PopAll(app) => Answer::Messages(mailboxes.remove(&app).unwrap_or_default()),
        Ask::ListPersistent(_) => Answer::Tags(vec!["a".into(), "b".into()]),
        Ask::ClearPersistent(_, tags) => Answer::Cleared(tags.len().try_into().expect("few")),
        Ask::Unregister(_) | Ask::SetCounter(..) => Answer::Done,
        Ask::Status => Answer::Status(r#"{"connected":true}"#.into()),
    })
}
