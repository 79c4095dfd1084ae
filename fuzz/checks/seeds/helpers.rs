//! Seeds of what helpers write: all that they can say, and each way of saying it wrong.

const OUTPUTS: [&str; 16] = [
    "{}",
    "null",
    "[]",
    r#"{"message":null}"#,
    r#"{"message": {"id" : 7, "text": "\u003c é \ud800"}}"#,
    r#"{"Message":[[[[]]]],"MESSAGE":1.50e+2}"#,
    r#"{"notification":{"tag":"chat","sound":"bell.ogg","vibrate":{"pattern":[200,100],"repeat":2},"card":{"summary":"Alice","body":"Hello","actions":["appid://chatter"],"icon":"face","timestamp":1700000000,"persist":true,"popup":true},"emblem-counter":{"count":3,"visible":true}}}"#,
    r#"{"notification":{"sound":true,"vibrate":true,"card":{"summary":"a\u0000b","body":null}}}"#,
    r#"{"notification":{"sound":{},"vibrate":{"pattern":[-1]},"TAG":"a","tag":null}}"#,
    r#"{"notification":{"vibrate":{"Pattern":[10000],"repeat":0},"sound":""}}"#,
    r#"{"notification":{"vibrate":{"pattern":[10001],"repeat":21},"sound":false}}"#,
    r#"{"notification":{"card":{"actions":["a","b","c","d","e","f","g","h","i"]}}}"#,
    r#"{"notification":{"card":{"timestamp":1.5}}}"#,
    r#"{"notification":{"emblem-counter":{"count":-2147483649}}}"#,
    r#"{"notification":{"card":[],"emblem-counter":1}}"#,
    r#"{"notification":{"card":{"summary":"\ud83d!","icon":7}}} x"#,
];

/// Of any kind.
pub fn outputs() -> Vec<Vec<u8>> {
    OUTPUTS.map(|output| output.as_bytes().to_vec()).into()
}
