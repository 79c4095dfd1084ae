//! The parts of a target: the path's segments and the query's parameters, percent-decoded (RFC 3986).

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::api::body::id;
use crate::api::failure::Failure;
use crate::base::IdError;

/// The segments of a path that stand for something. A `/` that is encoded does not divide.
pub(super) struct Segments<'p>(Vec<Cow<'p, str>>);

impl<'p> Segments<'p> {
    pub fn read(segments: &[&'p str]) -> Result<Segments<'p>, Failure> {
        let read = segments.iter().map(|segment| decode(segment));
        read.collect::<Option<_>>().map(Segments).ok_or(Failure::BadTarget("path"))
    }

    /// The one of this number, which the route must have.
    pub fn at(&self, number: usize) -> &str {
        &self.0[number]
    }
}

/// The parameters of a query, in their order.
pub(super) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    pub fn read(query: &'q str) -> Result<Query<'q>, Failure> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let read = |pair: &'q str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        pairs.map(read).collect::<Option<_>>().map(Query).ok_or(Failure::BadTarget("query"))
    }

    /// The first parameter of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// The same as an id.
    pub fn id<Id: FromStr<Err = IdError>>(&self, name: &str) -> Result<Option<Id>, Failure> {
        self.text(name).map(id).transpose()
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_does_not_divide() {
        let segments = Segments::read(&["carol", "a%2Fb%20%C3%A9"]).expect("UTF-8");
        assert_eq!((segments.at(0), segments.at(1)), ("carol", "a/b é"));
        assert!(Segments::read(&["%ff"]).is_err());
    }

    #[test]
    fn a_parameter_is_found_by_its_name() {
        let query = Query::read("a=1&after=d%26&after=2&b").expect("UTF-8");
        assert_eq!((query.text("after"), query.text("b"), query.text("c")), (Some("d&"), Some(""), None));
        assert!(Query::read("").is_ok_and(|query| query.0.is_empty()));
        assert!(Query::read("a=%ff").is_err());
    }
}
