//! What an app server knows of its token for one device, when some of its requests were never
//! answered. Pure.

use std::collections::VecDeque;

/// How many dead tokens are tried again: enough for those of the last rounds.
const DEAD_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Registration {
    state: State,
    /// Tokens that must stay dead, the oldest first.
    dead: VecDeque<String>,
}

#[derive(Debug, Default)]
enum State {
    /// No token lives.
    #[default]
    None,
    /// This one does.
    Alive(String),
    /// A request stayed unanswered: this one may live, or another that nobody was told, or none.
    Unsure(Option<String>),
}

impl Registration {
    /// A token worth trying.
    pub fn token(&self) -> Option<&str> {
        match &self.state {
            State::Alive(token) | State::Unsure(Some(token)) => Some(token),
            State::None | State::Unsure(None) => None,
        }
    }

    /// The token, if it must live.
    pub fn living(&self) -> Option<&str> {
        if let State::Alive(token) = &self.state { Some(token) } else { None }
    }

    /// Whether a token may live, be it known or not.
    pub fn may_live(&self) -> bool {
        !matches!(self.state, State::None)
    }

    pub fn dead(&self) -> impl Iterator<Item = &str> {
        self.dead.iter().map(String::as_str)
    }

    /// `/register` was answered with this token.
    pub fn registered(&mut self, token: String) -> Result<(), &'static str> {
        let before = std::mem::replace(&mut self.state, State::Alive(token.clone()));
        let has_died = self.dead.contains(&token);
        match before {
            _ if has_died => Err("a dead token was given again"),
            State::Alive(earlier) if earlier != token => Err("a registered app got another token"),
            State::Unsure(Some(earlier)) if earlier != token => {
                self.bury(earlier);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `/register` was not answered.
    pub fn maybe_registered(&mut self) {
        if matches!(self.state, State::None) {
            self.state = State::Unsure(None);
        }
    }

    /// `/unregister` was answered.
    pub fn unregistered(&mut self) {
        if let State::Alive(token) | State::Unsure(Some(token)) = std::mem::take(&mut self.state) {
            self.bury(token);
        }
    }

    /// `/unregister` was not answered.
    pub fn maybe_unregistered(&mut self) {
        self.state = match std::mem::take(&mut self.state) {
            State::Alive(token) => State::Unsure(Some(token)),
            other => other,
        };
    }

    /// The server knew the token, or not.
    pub fn tried(&mut self, is_known: bool) -> Result<(), &'static str> {
        let (state, verdict) = match (std::mem::take(&mut self.state), is_known) {
            (State::Alive(token) | State::Unsure(Some(token)), true) => (State::Alive(token), Ok(())),
            (State::Unsure(Some(token)), false) => {
                self.bury(token);
                (State::Unsure(None), Ok(()))
            }
            (other, _) => (other, Err("a registered token is unknown")),
        };
        self.state = state;
        verdict
    }

    fn bury(&mut self, token: String) {
        if self.dead.len() == DEAD_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(token);
    }
}
