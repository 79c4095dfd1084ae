//! Which apps are registered where, and what each token stands for.

use std::collections::BTreeMap;

use lomiri_push::base::Token;
use lomiri_push::queue::Registered;

use super::{Draft, Model, Sure};

#[derive(Default)]
pub struct Registrations {
    /// By device and app.
    apps: BTreeMap<(usize, usize), Sure>,
    tokens: BTreeMap<Token, Meaning>,
}

/// What a token stands for.
#[derive(Clone, Copy)]
pub struct Meaning {
    pub to: To,
    pub app: usize,
    pub life: Sure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Device(usize),
    User(usize),
}

/// The devices behind a token.
pub struct Behind {
    /// Whether the token lives.
    pub life: Sure,
    pub is_users: bool,
    /// Whether each surely gets what is posted.
    pub devices: BTreeMap<usize, Sure>,
}

impl Registrations {
    pub fn is_registered(&self, device: usize, app: usize) -> Sure {
        self.apps.get(&(device, app)).copied().unwrap_or(Sure::No)
    }

    /// All tokens that there ever were.
    pub fn tokens(&self) -> impl Iterator<Item = (&Token, &Meaning)> {
        self.tokens.iter()
    }

    /// What a token stands for, or stood.
    pub fn meaning(&self, token: Token) -> Option<Meaning> {
        self.tokens.get(&token).copied()
    }

    /// What this stood for does so no longer, or perhaps not.
    fn lapse(&mut self, to: To, app: usize, life: Sure, but: Option<Token>) {
        for (token, meaning) in &mut self.tokens {
            if meaning.to == to && meaning.app == app && Some(*token) != but && meaning.life != Sure::No {
                meaning.life = life;
            }
        }
    }

    /// An app is gone from a device of these, all of one user's, or perhaps gone.
    fn left(&mut self, device: usize, app: usize, user: To, mates: &[usize], life: Sure) {
        if self.is_registered(device, app) == Sure::No {
            return;
        }
        self.apps.insert((device, app), life);
        self.lapse(To::Device(device), app, life, None);
        let others = mates.iter().map(|&mate| self.is_registered(mate, app));
        let user_life = others.fold(Sure::No, |life, other| match (life, other) {
            (Sure::Yes, _) | (_, Sure::Yes) => Sure::Yes,
            (Sure::Maybe, _) | (_, Sure::Maybe) => Sure::Maybe,
            (Sure::No, Sure::No) => Sure::No,
        });
        if user_life != Sure::Yes {
            self.lapse(user, app, user_life, None);
        }
    }

    /// All apps are gone from a device, or perhaps gone.
    pub fn revoked(&mut self, device: usize, mates: &[usize], life: Sure) {
        let apps: Vec<usize> =
            self.apps.keys().filter(|(owner, _)| *owner == device).map(|(_, app)| *app).collect();
        for app in apps {
            self.left(device, app, To::User(mates[0]), mates, life);
        }
    }
}

impl Model {
    /// A user goes by the first of their devices.
    fn user_of(&self, device: usize) -> (To, Vec<usize>) {
        let mates = self.mates(self.owners[device].user);
        (To::User(mates[0]), mates)
    }

    pub fn registered(&mut self, device: usize, app: usize, tokens: Registered) {
        let (user, _) = self.user_of(device);
        let was = self.registrations.is_registered(device, app);
        self.take_token(tokens.token, To::Device(device), app, was);
        self.registrations.apps.insert((device, app), Sure::Yes);
        self.registrations.lapse(To::Device(device), app, Sure::No, Some(tokens.token));
        if let Some(token) = tokens.user_token {
            let has_lived = self
                .registrations
                .tokens
                .values()
                .any(|meaning| meaning.to == user && meaning.app == app && meaning.life == Sure::Yes);
            self.take_token(token, user, app, if has_lived { Sure::Yes } else { Sure::Maybe });
            self.registrations.lapse(user, app, Sure::No, Some(token));
        }
    }

    /// A registration is answered with this token; `was` says whether there must have been one.
    fn take_token(&mut self, token: Token, to: To, app: usize, was: Sure) {
        let known = self.registrations.tokens.get(&token).copied();
        let is_fair = match known {
            Some(known) => known.to == to && known.app == app && known.life != Sure::No,
            None => was != Sure::Yes,
        };
        self.check(is_fair, || format!("a token that it must not be was given for app {app} of {to:?}"));
        self.registrations.tokens.insert(token, Meaning { to, app, life: Sure::Yes });
    }

    /// The server crashed while an app was to be registered.
    pub fn may_be_registered(&mut self, device: usize, app: usize) {
        if self.registrations.is_registered(device, app) == Sure::No {
            self.registrations.apps.insert((device, app), Sure::Maybe);
        }
    }

    /// An app goes from a device, or perhaps goes.
    pub fn unregistered(&mut self, device: usize, app: usize, life: Sure) {
        let (user, mates) = self.user_of(device);
        self.registrations.left(device, app, user, &mates, life);
    }

    /// The operator revokes an app's token of a user, or perhaps has.
    pub fn user_token_revoked(&mut self, user: usize, app: usize, life: Sure) {
        let user = To::User(self.mates(user)[0]);
        self.registrations.lapse(user, app, life, None);
    }

    /// Whether a user surely has a token for an app.
    pub fn has_user_token(&self, user: usize, app: usize) -> bool {
        let user = To::User(self.mates(user)[0]);
        let is_it = |meaning: &Meaning| (meaning.to, meaning.app, meaning.life) == (user, app, Sure::Yes);
        self.registrations.tokens.values().any(is_it)
    }

    /// Whom a message is for now.
    pub fn behind(&self, draft: &Draft) -> Behind {
        let Some(Meaning { to, app, life }) = self.registrations.tokens.get(&draft.token).copied() else {
            return Behind { life: Sure::No, is_users: false, devices: BTreeMap::new() };
        };
        let devices = match to {
            To::Device(device) => vec![device],
            To::User(first) => self.mates(self.owners[first].user),
        };
        let registered = |device| (device, self.registrations.is_registered(device, app));
        let devices = devices.into_iter().map(registered).filter(|(_, sure)| *sure != Sure::No).collect();
        Behind { life, is_users: matches!(to, To::User(_)), devices }
    }
}
