//! The presenter's thread: takes what is to be shown, in order, lets the surface show it, and tells what
//! became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::desktop::Desktop;
use super::lomiri_settings::LomiriSettings;
use super::terminal::Terminal;
use super::{Ask, Options, Presentation, Surface, Told};
use crate::service::Presented;
use crate::service::presentation::{Focus, Settings, Showing};
use crate::service::shade::Note;

pub(super) struct Worker {
    stage: Stage,
    settings: Settings,
    lomiri_settings: LomiriSettings,
    told: Box<dyn FnMut(Told) + Send>,
}

/// What shows.
enum Stage {
    Desktop(Box<Desktop>),
    Terminal(Terminal),
    Nowhere,
}

impl Worker {
    pub(super) fn new(options: Options, asks: SyncSender<Ask>, told: Box<dyn FnMut(Told) + Send>) -> Worker {
        let Options { surface, settings, folders, default_sound, default_vibration } = options;
        let lomiri_settings = LomiriSettings::find(&folders);
        let stage = match surface {
            Surface::Desktop(addresses) => {
                let desktop = Desktop::new(addresses, folders, default_sound, default_vibration, asks);
                Stage::Desktop(Box::new(desktop))
            }
            Surface::Terminal(print) => Stage::Terminal(Terminal::new(print)),
            Surface::Nowhere => Stage::Nowhere,
        };
        Worker { stage, settings, lomiri_settings, told }
    }

    /// Goes on where an earlier life ended, and works until it is to stop and has done all that was asked before.
    pub(super) fn run(mut self, earlier: Vec<Note>, inbox: &Receiver<Ask>, is_stopping: &AtomicBool) {
        if let Stage::Desktop(desktop) = &mut self.stage {
            desktop.take_up(earlier);
        }
        loop {
            let ask = match is_stopping.load(Ordering::Acquire) {
                true => inbox.try_recv().ok(),
                false => inbox.recv().ok(),
            };
            match ask {
                Some(ask) => self.handle(ask),
                None => break,
            }
            self.tell();
        }
        if let Stage::Desktop(desktop) = self.stage {
            desktop.leave();
        }
    }

    fn handle(&mut self, ask: Ask) {
        match (ask, &mut self.stage) {
            (Ask::Present(presentation), _) => self.present(presentation),
            (Ask::Withdraw(bubble), Stage::Desktop(desktop)) => desktop.withdraw(&bubble),
            (Ask::Count(app, emblem), Stage::Desktop(desktop)) => desktop.count(&app, emblem),
            (Ask::Count(app, emblem), Stage::Terminal(terminal)) => terminal.count(&app, emblem),
            (Ask::Heard(heard), Stage::Desktop(desktop)) => desktop.hear(heard),
            (Ask::Withdraw(_) | Ask::Count(..) | Ask::Heard(_) | Ask::Wake, _) => {}
        }
    }

    fn present(&mut self, presentation: Presentation) {
        let Presentation { app, note, notification } = presentation;
        let permissions = self.settings.of(&app).and(self.lomiri_settings.of(&app));
        let shown = |focus| Showing::of(&notification, permissions, focus);
        let presented = match &mut self.stage {
            Stage::Desktop(desktop) => desktop.show(&app, &notification.tag, shown),
            Stage::Terminal(terminal) => terminal.show(&app, &shown(Focus::Elsewhere)),
            Stage::Nowhere => {
                Presented { is_listed: shown(Focus::Elsewhere).is_listed(), ..Presented::default() }
            }
        };
        // What went with its server went before.
        self.tell();
        (self.told)(Told::Presented { note, presented });
    }

    fn tell(&mut self) {
        let Stage::Desktop(desktop) = &mut self.stage else { return };
        while let Some(told) = desktop.poll_told() {
            (self.told)(told);
        }
    }
}
