//! App servers and the operator: requests to the HTTP API over some connections that are kept, each with one request at
//! a time. What is asked and what the answers mean, it does not know.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Registry, Token};

use super::pipe::{Pipe, Received, Scratch};
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
}

/// What came of a request: its number, and the status and body, or why there is none.
pub(super) type Answered = (u64, Result<Answer, String>);

/// All connections.
pub(super) struct Callers {
    api: Option<Api>,
    callers: Vec<Caller>,
    /// Of the callers.
    idle: Vec<usize>,
    /// Those whose sockets may have something to say.
    ready: VecDeque<usize>,
    scratch: Scratch,
    pub(super) answered: VecDeque<Answered>,
}

#[derive(Default)]
struct Caller {
    pipe: Option<Pipe>,
    job: Option<Job>,
    incoming: Vec<u8>,
}

struct Job {
    number: u64,
    request: String,
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
        let Some(api) = &self.api else {
            return self.answered.push_back((number, Err("where the API is was not said".into())));
        };
        let Some(caller) = self.idle.pop() else {
            return self.answered.push_back((number, Err("nobody is free to ask".into())));
        };
        let request = api.url.on_kept_connection(request);
        self.callers[caller].job = Some(Job { number, request, is_sent: false, is_second_try: false });
        self.serve_or_fail(caller, registry);
    }

    /// Lets all connect who are not.
    pub(super) fn connect(&mut self, registry: &Registry) {
        for number in 0..self.callers.len() {
            if let (None, Some(api)) = (&self.callers[number].pipe, &self.api) {
                // Whoever cannot says so when asking.
                self.callers[number].pipe =
                    dial(api, Token(FIRST_TOKEN + number), registry, &mut self.scratch).ok();
            }
        }
    }

    /// The selector says that something can be done.
    pub(super) fn handle_event(&mut self, token: usize) {
        if let Some(caller) = token.checked_sub(FIRST_TOKEN).filter(|caller| *caller < self.callers.len()) {
            self.ready.push_back(caller);
        }
    }

    /// Does what can be done.
    pub(super) fn work(&mut self, registry: &Registry) {
        for caller in std::mem::take(&mut self.ready) {
            self.serve_or_fail(caller, registry);
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
            caller.pipe = Some(dial(api, Token(FIRST_TOKEN + number), registry, &mut self.scratch)?);
            caller.incoming.clear();
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
            if let Some(job) = caller.job.take() {
                self.idle.push(number);
                self.answered.push_back((job.number, Ok(answer)));
            }
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
            Some(job) => {
                self.idle.push(number);
                self.answered.push_back((job.number, Err(problem)));
            }
            None => {}
        }
    }
}

fn dial(api: &Api, token: Token, registry: &Registry, scratch: &mut Scratch) -> Result<Pipe, String> {
    let tls = api.tls.as_ref().map(|tls| Tls::connect(tls, api.url.name()));
    let tls = tls.transpose().map_err(|error| error.to_string())?;
    let mut pipe = Pipe::dial(api.address, None, tls).map_err(|error| error.to_string())?;
    pipe.register(registry, token).map_err(|error| error.to_string())?;
    pipe.begin(scratch).map_err(|error| error.to_string())?;
    Ok(pipe)
}
