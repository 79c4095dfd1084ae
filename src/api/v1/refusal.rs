//! What the queue refuses, as `/v1` tells it. An unknown token and another app's are the same, so that
//! nobody learns which tokens there are.

use crate::api::failure::{Failure, Noun, Whose};
use crate::queue::Refusal;

pub(super) fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::UnknownToken | Refusal::Unauthorized => Failure::Unknown(Noun::Token),
        Refusal::UnknownMessage => Failure::Unknown(Noun::Message),
        Refusal::AnotherRequest => Failure::AnotherRequest,
        Refusal::NotThisDevice => Failure::NoCredential(Whose::Device),
        Refusal::AppKeyNeeded => Failure::NoCredential(Whose::App),
        Refusal::UnknownDevice => Failure::Unknown(Noun::Device),
        Refusal::UnknownUser => Failure::Unknown(Noun::User),
        Refusal::TooManyRequests { retry_after } => Failure::TooManyRequests(retry_after),
        Refusal::PastExpiration => Failure::PastExpiration,
        Refusal::TooManyPending(_) => Failure::TooManyPending(None),
        Refusal::Unavailable => Failure::Unavailable(super::UNAVAILABLE),
        _ => Failure::Internal,
    }
}
