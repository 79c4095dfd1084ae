//! How often may be posted: a rate and a burst for each token, each app and each user.

use super::DeviceAuth;
use super::settings::{ConfigError, Settings};
use super::values::number;
use crate::queue::{Rate, Rates};

/// Most messages a minute, or at once: more than any disk takes.
const MESSAGES_MAX: u64 = 60_000_000;

/// The rates that were given, over the defaults: where devices are believed there are none. A rate of 0 is no
/// limit. A burst is at least as much as may be pending, for else some of that could never come at once.
pub(super) fn read(from: &mut Settings, auth: DeviceAuth, pending_max: usize) -> Result<Rates, ConfigError> {
    let strangers = Rates::STRANGERS;
    let mut read = |keys, default: Option<Rate>| rate(from, keys, default, auth, pending_max);
    Ok(Rates {
        token: read(["token_rate_per_minute", "token_burst"], strangers.token)?,
        app: read(["app_rate_per_minute", "app_burst"], strangers.app)?,
        user: read(["user_rate_per_minute", "user_burst"], strangers.user)?,
    })
}

fn rate(
    from: &mut Settings,
    [rate_key, burst_key]: [&'static str; 2],
    default: Option<Rate>,
    auth: DeviceAuth,
    pending_max: usize,
) -> Result<Option<Rate>, ConfigError> {
    let small = |number: u64| u32::try_from(number).expect("within MESSAGES_MAX");
    let per_minute = from.read(rate_key, number(0..=MESSAGES_MAX))?.map(small);
    let pending_max = pending_max as u64;
    let burst = from.read(burst_key, number(pending_max..=MESSAGES_MAX))?.map(small);
    let default = default.map(|rate| Rate { burst: rate.burst.max(small(pending_max)), ..rate });
    let default_rate = default.filter(|_| auth == DeviceAuth::Required).map_or(0, |rate| rate.per_minute);
    let default_burst = default.map_or(0, |rate| rate.burst);
    Ok(match per_minute.unwrap_or(default_rate) {
        0 => None,
        per_minute => Some(Rate { per_minute, burst: burst.unwrap_or(default_burst) }),
    })
}
