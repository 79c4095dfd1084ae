//! How many files a process may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system sets no limit, as many as one address could ever serve.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Raises the soft limit to the hard one, as far as the system lets it be, and returns what holds now.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(DESCRIPTORS_MAX);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let limit = if raised { wanted } else { current.unwrap_or(wanted) };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_holds() {
        let limit = raise_limit() as u64;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, Some(limit));
        assert!(maximum.is_none_or(|maximum| maximum == limit));
    }
}
