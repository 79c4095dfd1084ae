//! What app servers do in a simulated world: they post, post again, ask what became of it, and have a key;
//! and what the operator tells all devices.

use std::time::Duration;

use lomiri_push::base::{CREDENTIAL_BYTES, Credential, Digest, Payload, Token, Urgency};
use lomiri_push::queue::{Address, Command, Holder, Notify, Repeat, Submission};

use super::device::IMAGE;
use super::model::{Draft, Post, Sure};
use super::world::{By, Request, World};

/// So that some dozen fill the bytes of a window or of a page.
const LONG_BYTES: usize = 5_900;

impl World {
    /// As a rule one that lives.
    fn any_token(&mut self) -> Option<(Token, usize)> {
        let are_dead_wanted = self.dice.one_in(30);
        let tokens = self.model.registrations.tokens();
        let wanted = tokens.filter(|(_, meaning)| are_dead_wanted || meaning.life != Sure::No);
        let tokens: Vec<(Token, usize)> = wanted.map(|(token, meaning)| (*token, meaning.app)).collect();
        if tokens.is_empty() { None } else { Some(tokens[self.dice.below(tokens.len())]) }
    }

    pub fn post_some(&mut self) {
        let count = if self.dice.one_in(40) { 25 } else { 1 + self.dice.below(3) };
        let drafts = self.drafts(count);
        match self.dice.one_in(20) {
            true => self.post_together(drafts),
            false => drafts.into_iter().for_each(|draft| self.post(draft)),
        }
    }

    /// One request with more messages than a batch takes decisions.
    pub fn post_very_many(&mut self) {
        let drafts = self.drafts(300);
        self.post_together(drafts);
    }

    /// So many at most, all by one token or by many.
    fn drafts(&mut self, count: usize) -> Vec<Draft> {
        let Some((mut token, mut app)) = self.any_token() else {
            self.register_any();
            return Vec::new();
        };
        let is_burst = self.dice.one_in(2);
        let mut drafts = Vec::new();
        for _ in 0..count {
            drafts.push(self.draft(token, app));
            if !is_burst && let Some(another) = self.any_token() {
                (token, app) = another;
            }
        }
        drafts
    }

    fn draft(&mut self, token: Token, app: usize) -> Draft {
        let lifetime = self.dice.of(&[4, 60, 900, 86_400, 86_400, 86_400, 86_400]);
        Draft {
            token,
            app,
            tag: if self.dice.one_in(4) { Some(self.dice.of(&["x", "y"])) } else { None },
            clears: self.dice.one_in(60),
            urgency: self.dice.of(&[
                Urgency::VeryLow,
                Urgency::Low,
                Urgency::Normal,
                Urgency::Normal,
                Urgency::High,
            ]),
            expires: self.server.clock(self.now).wall + Duration::from_secs(lifetime),
            app_key: self.any_key(app),
            is_tracked: self.dice.one_in(2),
        }
    }

    pub fn post(&mut self, draft: Draft) {
        if !self.server.is_up() {
            return;
        }
        let number = self.model.post(draft.clone());
        let command = match draft.is_tracked {
            true => Command::Send(vec![self.submission(number)]),
            false => Command::Notify(self.notify(number, &draft)),
        };
        self.ask(Request::Post(number), command);
    }

    fn post_together(&mut self, drafts: Vec<Draft>) {
        if drafts.is_empty() || !self.server.is_up() {
            return;
        }
        let (first, count) = (self.model.posts.len(), drafts.len());
        for draft in drafts {
            self.model.post(Draft { is_tracked: true, ..draft });
        }
        let submissions = (first..first + count).map(|number| self.submission(number)).collect();
        self.ask(Request::Posts { first, count }, Command::Send(submissions));
    }

    fn submission(&self, number: usize) -> Submission {
        let notify = self.notify(number, &self.model.posts[number].draft);
        Submission { notify, repeat: Some(repeat(number, true)) }
    }

    /// As a rule the right one.
    fn any_key(&mut self, app: usize) -> Option<Credential> {
        match self.dice.below(20) {
            0 => None,
            1 => Some(self.another_key()),
            _ => self.model.app_keys.known(app).cloned(),
        }
    }

    fn another_key(&mut self) -> Credential {
        let mut bytes = [0; CREDENTIAL_BYTES];
        self.dice.fill(&mut bytes);
        Credential::new(bytes)
    }

    fn notify(&self, number: usize, draft: &Draft) -> Notify {
        let json = match number.is_multiple_of(20) {
            true => format!(r#"[{number},"{}"]"#, "x".repeat(LONG_BYTES)),
            false => number.to_string(),
        };
        Notify {
            to: Address::Token(draft.token),
            app: self.model.apps[draft.app].clone(),
            expires: draft.expires,
            payload: Payload::from_json(json.as_bytes()).expect("JSON"),
            urgency: draft.urgency,
            clear_pending: draft.clears,
            replace_tag: draft.tag.map(str::to_owned),
            app_key: draft.app_key.clone(),
        }
    }

    /// An app server that got no answer, or lost it, asks again.
    pub fn post_again(&mut self) {
        let Some(number) = self.any_tracked() else { return };
        let is_same = self.model.posts[number].is_there == Sure::Maybe || !self.dice.one_in(4);
        let draft = self.model.posts[number].draft.clone();
        let repeat = Some(repeat(number, is_same));
        let notify = self.notify(number, &draft);
        self.ask(Request::Again { number, is_same }, Command::Send(vec![Submission { notify, repeat }]));
    }

    /// A message whose state is kept, of the last few.
    fn any_tracked(&mut self) -> Option<usize> {
        let is_tracked = |(number, post): (usize, &Post)| {
            (post.draft.is_tracked && post.is_answered && post.is_there != Sure::No).then_some(number)
        };
        let tracked: Vec<usize> =
            self.model.posts.iter().enumerate().rev().filter_map(is_tracked).take(30).collect();
        if tracked.is_empty() { None } else { Some(self.dice.of(&tracked)) }
    }

    pub fn query_any(&mut self) {
        let Some(number) = self.any_tracked() else { return };
        let app = self.model.posts[number].draft.app;
        let is_key_certain = self.model.app_keys.is_certain(app) && !self.is_key_changing(app);
        let by = match self.dice.below(8) {
            0 => By::OtherKey,
            1..4 if is_key_certain && self.model.app_keys.known(app).is_some() => By::AppKey,
            _ => By::Token,
        };
        self.query(number, by, false);
    }

    pub fn query(&mut self, number: usize, by: By, is_over: bool) {
        let Some(message) = self.model.posts[number].id else { return };
        let draft = &self.model.posts[number].draft;
        let holder = match by {
            By::Token => Holder::Token(draft.token),
            By::AppKey => Holder::AppKey(self.model.app_keys.known(draft.app).expect("it is known").clone()),
            By::OtherKey => Holder::AppKey(self.another_key()),
        };
        self.ask(Request::Query { number, by, is_over }, Command::Query { message, by: holder });
    }

    pub fn broadcast(&mut self) {
        if !self.server.is_up() {
            return;
        }
        let number = self.model.next_broadcast();
        let lifetime = Duration::from_secs(self.dice.of(&[60, 86_400]));
        let expires = self.server.clock(self.now).wall + lifetime;
        self.model.announce(expires);
        let json = format!(r#"{{"{}":[{number}]}}"#, IMAGE);
        let payload = Payload::from_json(json.as_bytes()).expect("JSON");
        let channel = "system".into();
        self.ask(Request::Broadcast(number), Command::Broadcast { channel, expires, payload });
    }

    pub fn bind_or_unbind_any(&mut self) {
        let app = self.dice.below(self.model.apps.len());
        match self.dice.one_in(3) {
            true => self.ask(Request::Unbind(app), Command::UnbindApp { app: self.model.apps[app].clone() }),
            false => self.bind(app),
        }
    }

    pub fn bind(&mut self, app: usize) {
        self.ask(Request::Bind(app), Command::BindApp { app: self.model.apps[app].clone() });
    }

    pub fn is_key_changing(&self, app: usize) -> bool {
        let changes =
            |request: &Request| matches!(request, Request::Bind(of) | Request::Unbind(of) if *of == app);
        self.requests.values().any(changes)
    }
}

/// How a request is known again; another one has the same key.
fn repeat(number: usize, is_same: bool) -> Repeat {
    let request = Digest::of(if is_same { b"same" } else { b"another" });
    Repeat { key: Digest::of(&number.to_be_bytes()), request }
}
