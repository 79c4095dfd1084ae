//! The durable queue over a store in memory: its rules, its promises, and a model to compare with.

mod batches;
mod clock;
mod durability;
mod fates;
mod leaving;
mod levels;
mod limits;
mod model;
mod pending;
mod people;
mod rates;
mod tokens;
mod users;
mod world;
