//! `lomiri-push app` as developers use it.
