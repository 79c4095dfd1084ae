//! The operator in the demo: who is let in, and what every phone is told, with the key that the server
//! made at its first start.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use super::http::Http;

/// Who runs the push server.
pub struct Operator {
    http: Http,
    key: String,
}

impl Operator {
    /// Of the server whose API is there and whose data lies in this folder.
    pub fn new(api: SocketAddr, data: &Path) -> Result<Operator, Failure> {
        let key = fs::read_to_string(data.join("operator-key"))?;
        Ok(Operator { http: Http::new(api), key: key.trim().to_owned() })
    }

    /// The server's API.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// A one-time code that makes a phone this user's.
    pub fn code_for(&self, user: &str) -> Result<String, Failure> {
        let answer = self.http.post("/v1/enrolment-codes", Some(&self.key), &json!({ "user": user }))?;
        match answer["code"].as_str() {
            Some(code) => Ok(code.to_owned()),
            None => Err(Failure::Run("/v1/enrolment-codes gave no code".into())),
        }
    }

    /// Tells every phone.
    pub fn broadcast(&self, data: &Value, expire_on: &str) -> Result<(), Failure> {
        let body = json!({ "channel": "system", "expire_on": expire_on, "data": data });
        self.http.post("/broadcast", Some(&self.key), &body).map(drop)
    }
}
