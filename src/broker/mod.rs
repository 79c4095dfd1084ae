//! (to come)
mod wheel;
