//! App servers and the operator: requests to the HTTP API over some connections that are kept, each with one request at
//! a time. What is asked and what the answers mean, it does not know.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use super::clock::now;
use super::pipe::{Pipe, Received, Scratch};
use crate::base::Monotonic;
use crate::http::{Answer, Request, Url};
use crate::tls::{ClientConfig, Tls};

/// Their tokens begin here: there are never so many devices.
const FIRST_TOKEN: usize = 1 << 32;

/// An HTTP API as callers know it.
pub struct Api {
    /// Its base.
    pub url: Url,
    /// Where that is.
    pub address: SocketAddr,
    /// How TLS is spoken there, if it is.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long an answer may take, from the request to its last byte.
    pub timeout: Duration,
}

/// What came of a request.
pub(super) struct Answered {
    /// Its number.
    pub(super) number: u64,
    /// The status and body, or why there is none.
    pub(super) answer: Result<Answer, Unanswered>,
    /// From the request to that.
    pub(super) took: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It takes too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// Something else.
    #[error("{0}")]
    Broken(String),
}

/// All connections.
pub(super) struct Callers {
    api: Option<Api>,
    callers: Vec<Caller>,
    /// Of the callers.
    idle: Vec<usize>,
    /// Those whose sockets may have something to say.
    ready: VecDeque<usize>,
    /// Who waits since when.
    asked: BTreeSet<(Monotonic, usize)>,
    scratch: Scratch,
    pub(super) answered: VecDeque<Answered>,
}

#[derive(Default)]
struct Caller {
    pipe: Option<Pipe>,
    /// Its end may stand behind what the socket still holds, and no other event tells of it.
    is_ending: bool,
    job: Option<Job>,
    incoming: Vec<u8>,
}

struct Job {
    number: u64,
    request: String,
    since: Monotonic,
    is_sent: bool,
    /// The server may have closed a kept connection just then.
    is_second_try: bool,
}

impl Callers {
    /// So many, of whom none has called.
    pub(super) fn new(api: Option<Api>, count: usize) -> Callers {
        Callers {
            api,
            callers: (0..count).map(|_| Caller::default()).collect(),
            idle: (0..count).collect(),
            ready: VecDeque::new(),
            asked: BTreeSet::new(),
            scratch: Scratch::new(),
            answered: VecDeque::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Whether one is free.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// How many wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.callers.len() - self.idle.len()
    }

    /// Whether something is to be done before the next event.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Asks, under a number of the asker's. One must be free, and the API known.
    pub(super) fn ask(&mut self, number: u64, request: &Request<'_>, registry: &Registry) {
        let refused = |why: &str| {
            let answer = Err(Unanswered::Broken(why.into()));
            Answered { number, answer, took: Duration::ZERO }
        };
        let Some(api) = &self.api else {
            return self.answered.push_back(refused("where the API is was not said"));
        };
        let Some(caller) = self.idle.pop() else {
            return self.answered.push_back(refused("nobody is free to ask"));
        };
        let (request, since) = (api.url.on_kept_connection(request), now());
        let job = Job { number, request, since, is_sent: false, is_second_try: false };
        self.callers[caller].job = Some(job);
        self.asked.insert((since, caller));
        self.serve_or_fail(caller, registry);
    }

    /// Lets all connect who are not.
    pub(super) fn connect(&mut self, registry: &Registry) {
        let Some(api) = &self.api else { return };
        for (number, caller) in self.callers.iter_mut().enumerate() {
            if caller.pipe.is_none() {
                // Whoever cannot says so when asking.
                let _ = caller.dial(api, Token(FIRST_TOKEN + number), registry, &mut self.scratch);
            }
        }
    }

    /// The selector says that something can be done, and perhaps that nothing more comes.
    pub(super) fn handle_event(&mut self, token: usize, is_ending: bool) {
        let Some(number) = token.checked_sub(FIRST_TOKEN) else { return };
        if let Some(caller) = self.callers.get_mut(number) {
            caller.is_ending |= is_ending;
            self.ready.push_back(number);
        }
    }

    /// Does what can be done, and waits no longer for answers that take too long.
    pub(super) fn work(&mut self, registry: &Registry) {
        for caller in std::mem::take(&mut self.ready) {
            self.serve_or_fail(caller, registry);
        }
        self.give_up();
    }

    fn give_up(&mut self) {
        let Some(timeout) = self.api.as_ref().map(|api| api.timeout) else { return };
        let now = now();
        let late = |(since, _): &(Monotonic, usize)| *since + timeout <= now;
        while let Some((_, number)) = self.asked.first().copied().filter(late) {
            // What it may still say would be taken for the next answer.
            self.callers[number].pipe = None;
            self.end_job(number, Err(Unanswered::Late(timeout)));
        }
    }

    fn end_job(&mut self, number: usize, answer: Result<Answer, Unanswered>) {
        if let Some(job) = self.callers[number].job.take() {
            self.asked.remove(&(job.since, number));
            self.idle.push(number);
            self.answered.push_back(Answered { number: job.number, answer, took: now().since(job.since) });
        }
    }

    fn serve_or_fail(&mut self, caller: usize, registry: &Registry) {
        if let Err(problem) = self.serve(caller, registry) {
            self.fail(caller, problem);
        }
    }

    fn serve(&mut self, number: usize, registry: &Registry) -> Result<(), String> {
        let (Some(api), caller) = (&self.api, &mut self.callers[number]) else { return Ok(()) };
        if caller.pipe.is_none() && caller.job.is_some() {
            caller.dial(api, Token(FIRST_TOKEN + number), registry, &mut self.scratch)?;
        }
        let Some(pipe) = &mut caller.pipe else { return Ok(()) };
        let told = |error: &dyn std::fmt::Display| error.to_string();
        pipe.flush(&mut self.scratch).map_err(|error| told(&error))?;
        let mut has_ended = false;
        loop {
            let more = pipe.receive(usize::MAX, &mut self.scratch);
            caller.incoming.extend_from_slice(&self.scratch.plaintext);
            match more {
                Ok(Received::More) => {}
                Ok(Received::Some) if caller.is_ending => {}
                Ok(Received::Some | Received::Nothing) => break,
                Err(_) if !caller.incoming.is_empty() => {
                    has_ended = true;
                    break;
                }
                Err(error) => return Err(told(&error)),
            }
        }
        if let Some(job) = caller.job.as_mut().filter(|job| !job.is_sent && pipe.is_open()) {
            pipe.send(job.request.as_bytes(), &mut self.scratch).map_err(|error| told(&error))?;
            job.is_sent = true;
        }
        if caller.incoming.is_empty() {
            return Ok(());
        }
        let answer = Answer::in_full(&caller.incoming, has_ended).map_err(|error| told(&error))?;
        if has_ended {
            caller.pipe = None;
        }
        if let Some(answer) = answer {
            caller.incoming.clear();
            self.end_job(number, Ok(answer));
        }
        Ok(())
    }

    /// A connection broke: what was asked is asked once more, for the server may have closed it for being idle.
    fn fail(&mut self, number: usize, problem: String) {
        let caller = &mut self.callers[number];
        let was_kept = caller.pipe.take().is_some();
        match caller.job.take() {
            Some(job) if was_kept && !job.is_second_try => {
                caller.job = Some(Job { is_sent: false, is_second_try: true, ..job });
                self.ready.push_back(number);
            }
            job => {
                caller.job = job;
                self.end_job(number, Err(Unanswered::Broken(problem)));
            }
        }
    }
}

impl Caller {
    /// Begins to connect. What an earlier connection has left is no part of an answer.
    fn dial(
        &mut self,
        api: &Api,
        token: Token,
        registry: &Registry,
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        self.incoming.clear();
        self.is_ending = false;
        let tls = api.tls.as_ref().map(|tls| Tls::connect(tls, api.url.name()));
        let tls = tls.transpose().map_err(|error| error.to_string())?;
        let mut pipe = Pipe::dial(api.address, None, tls).map_err(|error| error.to_string())?;
        pipe.register(registry, token).map_err(|error| error.to_string())?;
        pipe.begin(scratch).map_err(|error| error.to_string())?;
        self.pipe = Some(pipe);
        Ok(())
    }
}
