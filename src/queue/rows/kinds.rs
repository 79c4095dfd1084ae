//! The bodies of rows, one type for each kind: how it is written, and how it is read.

use crate::base::{AppId, DeviceId, Digest, Level, MessageId, Seq, Token, Urgency, UserId, Wall};
use crate::queue::answer::Status;
use crate::queue::command::Repeat;
use crate::queue::fates::{Fate, Tracked, TrackedRow};

use super::key::{Census, Key, Place};
use super::reader::Reader;
use super::{VERSION_WITHOUT_TRACKED_USER, VERSION_WITHOUT_URGENCY, seal};

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct BroadcastRow<'a> {
    pub expires: Wall,
    pub payload: &'a [u8],
}

/// The head: what the queue knows beside its other rows, and how to tell that none of them is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct Head {
    /// The batch that wrote it.
    pub batch: u64,
    /// The next message's number.
    pub next_seq: Seq,
    /// The wall clock when the batch was made.
    pub wall: Wall,
    /// The system channel's level.
    pub top: Level,
    /// How many rows there are beside this one, and which.
    pub census: Census,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct MessageRow<'a> {
    pub id: MessageId,
    pub copy: u16,
    pub device: DeviceId,
    pub app: AppId,
    pub expires: Wall,
    pub urgency: Urgency,
    pub tag: Option<&'a str>,
    pub payload: &'a [u8],
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct RegistrationRow {
    pub device: DeviceId,
    pub app: AppId,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct UserTokenRow {
    pub user: UserId,
    pub app: AppId,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct BoundAppRow {
    pub app: AppId,
    /// Of the app's key.
    pub key: Digest,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct CodeRow {
    pub user: UserId,
    pub expires: Wall,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::queue) struct DeviceRow {
    pub device: DeviceId,
    pub user: UserId,
    pub credential: Digest,
    pub enrolled: Wall,
    /// When it was revoked, if it was.
    pub revoked: Option<Wall>,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct ErasedUserRow {
    pub user: UserId,
}

impl BroadcastRow<'_> {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        seal(key, &[&self.expires.0.to_be_bytes(), self.payload])
    }

    pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Option<BroadcastRow<'a>> {
        Some(BroadcastRow { expires: reader.take_wall()?, payload: reader.take_rest() })
    }
}

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.batch,
            self.next_seq.0,
            self.wall.0,
            self.top.0.cast_unsigned(),
            self.census.rows,
            self.census.digest,
        ];
        seal(Key::Head, &[&numbers.map(u64::to_be_bytes).concat()])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Head> {
        Some(Head {
            batch: reader.take_u64()?,
            next_seq: Seq(reader.take_u64()?),
            wall: reader.take_wall()?,
            top: Level(reader.take_u64()?.cast_signed()),
            census: Census { rows: reader.take_u64()?, digest: reader.take_u64()? },
        })
    }
}

impl MessageRow<'_> {
    pub fn place(&self) -> Place {
        Place { seq: self.id.seq(), copy: self.copy }
    }

    pub fn encode(&self) -> Vec<u8> {
        let tag = self.tag.unwrap_or_default();
        let (device, app) = (self.device.as_str(), self.app.as_str());
        let parts: [&[u8]; 10] = [
            &self.expires.0.to_be_bytes(),
            &[self.urgency.code()],
            &self.id.0[8..],
            &[device.len() as u8],
            device.as_bytes(),
            &[app.len() as u8],
            app.as_bytes(),
            &(tag.len() as u16).to_be_bytes(),
            tag.as_bytes(),
            self.payload,
        ];
        seal(Key::Message(self.place()), &parts)
    }

    pub(super) fn read<'a>(place: Place, version: u8, reader: &mut Reader<'a>) -> Option<MessageRow<'a>> {
        Some(MessageRow {
            expires: reader.take_wall()?,
            urgency: if version == VERSION_WITHOUT_URGENCY {
                Urgency::default()
            } else {
                Urgency::from_code(reader.take_u8()?)?
            },
            id: MessageId::new(place.seq, *reader.take()?),
            copy: place.copy,
            device: reader.take_id()?,
            app: reader.take_id()?,
            tag: take_tag(reader)?,
            payload: reader.take_rest(),
        })
    }
}

fn take_tag<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a str>> {
    let bytes = reader.take_u16()?;
    let tag = reader.take_text(bytes.into())?;
    Some((!tag.is_empty()).then_some(tag))
}

/// An id's text behind its length. No id is longer than 255 bytes.
fn put_id(body: &mut Vec<u8>, id: &str) {
    body.push(id.len() as u8);
    body.extend_from_slice(id.as_bytes());
}

/// A value of these ids, and what follows them.
fn seal_ids(key: Key, ids: &[&str], rest: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    ids.iter().for_each(|id| put_id(&mut body, id));
    rest.iter().for_each(|part| body.extend_from_slice(part));
    seal(key, &[&body])
}

impl RegistrationRow {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        seal_ids(key, &[self.device.as_str(), self.app.as_str()], &[])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<RegistrationRow> {
        Some(RegistrationRow { device: reader.take_id()?, app: reader.take_id()? })
    }
}

impl UserTokenRow {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        seal_ids(key, &[self.user.as_str(), self.app.as_str()], &[])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<UserTokenRow> {
        Some(UserTokenRow { user: reader.take_id()?, app: reader.take_id()? })
    }
}

impl BoundAppRow {
    pub fn encode(&self) -> Vec<u8> {
        seal_ids(Key::bound_app(&self.app), &[self.app.as_str()], &[&self.key.0])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<BoundAppRow> {
        Some(BoundAppRow { app: reader.take_id()?, key: Digest(*reader.take()?) })
    }
}

impl CodeRow {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        seal_ids(key, &[self.user.as_str()], &[&self.expires.0.to_be_bytes()])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<CodeRow> {
        Some(CodeRow { user: reader.take_id()?, expires: reader.take_wall()? })
    }
}

impl DeviceRow {
    pub fn encode(&self) -> Vec<u8> {
        let ids = [self.device.as_str(), self.user.as_str()];
        let revoked = self.revoked.map_or(Vec::new(), |wall| wall.0.to_be_bytes().to_vec());
        let rest: [&[u8]; 3] = [&self.credential.0, &self.enrolled.0.to_be_bytes(), &revoked];
        seal_ids(Key::device(&self.device), &ids, &rest)
    }

    pub(super) fn read(reader: &mut Reader) -> Option<DeviceRow> {
        Some(DeviceRow {
            device: reader.take_id()?,
            user: reader.take_id()?,
            credential: Digest(*reader.take()?),
            enrolled: reader.take_wall()?,
            revoked: if reader.is_empty() { None } else { Some(reader.take_wall()?) },
        })
    }
}

impl ErasedUserRow {
    pub fn encode(&self) -> Vec<u8> {
        seal_ids(Key::erased_user(&self.user), &[self.user.as_str()], &[])
    }

    pub(super) fn read(reader: &mut Reader) -> Option<ErasedUserRow> {
        Some(ErasedUserRow { user: reader.take_id()? })
    }
}

impl TrackedRow {
    pub fn encode(&self) -> Vec<u8> {
        let (key, request) =
            self.repeat.map_or(([0; 32], [0; 32]), |repeat| (repeat.key.0, repeat.request.0));
        let mut fates = Vec::new();
        for fate in &self.fates {
            put_id(&mut fates, fate.device.as_str());
            fates.push(fate.status.code());
            fates.extend(fate.since.0.to_be_bytes());
            fates.extend(fate.delivered.map_or(0, |wall| wall.0).to_be_bytes());
        }
        let rest: [&[u8]; 7] = [
            &self.sent.0.to_be_bytes(),
            &self.id.0[8..],
            &self.token.0,
            &[self.repeat.is_some().into()],
            &key,
            &request,
            &fates,
        ];
        let user = self.user.as_ref().map_or("", UserId::as_str);
        seal_ids(Key::Tracked(self.id.seq()), &[self.app.as_str(), user], &rest)
    }

    pub(super) fn read(seq: Seq, version: u8, reader: &mut Reader) -> Option<TrackedRow> {
        Some(Tracked {
            app: reader.take_id()?,
            user: if version <= VERSION_WITHOUT_TRACKED_USER { None } else { reader.take_id_if_any()? },
            sent: reader.take_wall()?,
            id: MessageId::new(seq, *reader.take()?),
            token: Token(*reader.take()?),
            repeat: take_repeat(reader)?,
            fates: take_fates(reader)?,
        })
    }
}

fn take_repeat(reader: &mut Reader) -> Option<Option<Repeat>> {
    let is_there = reader.take_u8()?;
    let repeat = Repeat { key: Digest(*reader.take()?), request: Digest(*reader.take()?) };
    match is_there {
        0 => Some(None),
        1 => Some(Some(repeat)),
        _ => None,
    }
}

fn take_fates(reader: &mut Reader) -> Option<Vec<Fate<DeviceId>>> {
    let mut fates = Vec::new();
    while !reader.is_empty() {
        fates.push(Fate {
            device: reader.take_id()?,
            status: Status::from_code(reader.take_u8()?)?,
            since: reader.take_wall()?,
            delivered: Some(reader.take_wall()?).filter(|wall| wall.0 > 0),
        });
    }
    Some(fates)
}
