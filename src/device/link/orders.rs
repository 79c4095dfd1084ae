//! What others want of a link's thread.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::Urgency;
use crate::device::network::Network;
use crate::device::watch::{Waker, Watch};
use crate::protocol::wire1::Receipt;

/// One of those.
#[derive(Debug)]
pub(super) enum Order {
    Tell(Receipt),
    Want(Urgency),
    Network(Network),
    Stop,
}

/// Orders that wait to be taken. A call and the order that it goes with come together and are taken
/// together, so that no call ends a wait when its order is done already.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    waiting: Arc<Mutex<Vec<Order>>>,
    waker: Waker,
}

impl Orders {
    /// None yet. `waker` calls whoever takes them.
    pub fn new(waker: Waker) -> Orders {
        Orders { waiting: Arc::default(), waker }
    }

    /// Leaves an order to be taken at the next opportunity.
    pub fn leave(&self, order: Order) {
        self.waiting().push(order);
    }

    /// Wants this order taken now.
    pub fn call(&self, order: Order) {
        let mut waiting = self.waiting();
        waiting.push(order);
        self.waker.wake();
    }

    /// Takes all that wait, for the thread that waits by `watch`.
    pub fn take(&self, watch: &Watch) -> Vec<Order> {
        let mut waiting = self.waiting();
        watch.hush();
        mem::take(&mut waiting)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Order>> {
        self.waiting.lock().expect("nothing panics while it holds this")
    }
}
