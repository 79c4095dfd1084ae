//! The rules about who may do what: registrations and their tokens, enrolment by one-time codes, and keys
//! of apps.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::{AppId, CodeSecret, Credential, DeviceId, Random, SessionId, Token, UserId};

use super::draw;
use crate::queue::answer::{Answer, Code, Enrolled, Enrolment, Refusal, Registered};
use crate::queue::enrolments::{Member, OpenCode};
use crate::queue::names::{AppKey, DeviceKey, UserKey};
use crate::queue::registrations::Owner;
use crate::queue::rows::{BoundAppRow, CodeRow, DeviceRow, Key, RegistrationRow, UserTokenRow};
use crate::queue::state::Queue;

/// Bytes of a random device id before they are text: nobody meets another's by chance.
const DEVICE_ID_RANDOM_BYTES: usize = 16;

impl Queue {
    pub(super) fn check_device(
        &self,
        device: &DeviceId,
        credential: Option<&Credential>,
    ) -> Result<(), Refusal> {
        match credential {
            Some(credential) if !self.is_device(device, credential) => Err(Refusal::NotThisDevice),
            _ => Ok(()),
        }
    }

    fn check_disk_room(&self) -> Result<(), Refusal> {
        if self.has_disk_room() { Ok(()) } else { Err(Refusal::Unavailable) }
    }

    pub(super) fn register(
        &mut self,
        device: &DeviceId,
        app: &AppId,
        credential: Option<&Credential>,
        random: &mut Random,
    ) -> Result<Answer, Refusal> {
        self.check_device(device, credential)?;
        let token = match self.token(device, app) {
            Some(token) => token,
            None => self.make_token(device, app, random)?,
        };
        let user = self.enrolments.get(device).map(|member| member.user);
        let user_token = user.map(|user| self.user_token(user, app, random)).transpose()?;
        Ok(Answer::Registered(Registered { token, user_token }))
    }

    fn token(&self, device: &DeviceId, app: &AppId) -> Option<Token> {
        self.registrations.token(self.device(device)?, self.apps.find(app)?)
    }

    fn make_token(&mut self, device: &DeviceId, app: &AppId, random: &mut Random) -> Result<Token, Refusal> {
        let on_device = self.device(device).map(|device| self.registrations.of_device(device).count());
        if self.leaving.has_device(device)
            || self.registrations.len() >= self.limits.registrations_max
            || on_device.unwrap_or(0) >= self.limits.registrations_per_device_max
        {
            return Err(Refusal::Unavailable);
        }
        self.check_disk_room()?;
        let token = Token(draw(random));
        let row = RegistrationRow { device: device.clone(), app: app.clone() };
        assert!(self.hold_registration(&row, token), "128 random bits are drawn once");
        let key = Key::Registration(token);
        self.put(key, row.encode(key));
        Ok(token)
    }

    /// The token of this app on all devices of this user; it is made with the first registration, or with
    /// the next if it was revoked.
    fn user_token(&mut self, user: UserKey, app: &AppId, random: &mut Random) -> Result<Token, Refusal> {
        let known = self.apps.find(app).and_then(|app| self.registrations.user_token(user, app));
        known.map_or_else(|| self.make_user_token(user, app, random), Ok)
    }

    /// Refused only where [`Queue::make_token`] is too, so that no registration is made without its own.
    fn make_user_token(&mut self, user: UserKey, app: &AppId, random: &mut Random) -> Result<Token, Refusal> {
        self.check_disk_room()?;
        let token = Token(draw(random));
        let row = UserTokenRow { user: self.users.name(user).clone(), app: app.clone() };
        assert!(self.hold_user_token(&row, token), "128 random bits are drawn once");
        let key = Key::UserToken(token);
        self.put(key, row.encode(key));
        Ok(token)
    }

    /// Enters a registration; false if the owner or the token had one.
    #[must_use]
    pub(in crate::queue) fn hold_registration(&mut self, row: &RegistrationRow, token: Token) -> bool {
        let device = self.devices.hold(&row.device);
        let app = self.apps.hold(&row.app);
        self.registrations.insert(Owner::Device(device, app), token)
    }

    /// Enters a user token; false if the owner or the token had one.
    #[must_use]
    pub(in crate::queue) fn hold_user_token(&mut self, row: &UserTokenRow, token: Token) -> bool {
        let user = self.users.hold(&row.user);
        let app = self.apps.hold(&row.app);
        self.registrations.insert(Owner::User(user, app), token)
    }

    /// The token dies. What is pending stays until it is acked or expires: it was promised.
    pub(super) fn unregister(
        &mut self,
        device: &DeviceId,
        app: &AppId,
        credential: Option<&Credential>,
    ) -> Result<Answer, Refusal> {
        self.check_device(device, credential)?;
        if let (Some(device), Some(app)) = (self.device(device), self.apps.find(app)) {
            self.drop_registration(device, app);
        }
        Ok(Answer::Done)
    }

    pub(super) fn drop_registration(&mut self, device: DeviceKey, app: AppKey) {
        let user = self.enrolments.get(self.devices.name(device)).map(|member| member.user);
        let Some(token) = self.forget_registration(device, app) else { return };
        self.erase_at_once(Key::Registration(token));
        if let Some(user) = user {
            self.drop_user_token_if_last(user, app);
        }
    }

    /// The row stays.
    pub(super) fn forget_registration(&mut self, device: DeviceKey, app: AppKey) -> Option<Token> {
        let token = self.registrations.remove(Owner::Device(device, app))?;
        self.apps.release(app);
        self.devices.release(device);
        Some(token)
    }

    pub(super) fn drop_user_token_if_last(&mut self, user: UserKey, app: AppKey) {
        let has_app = |device| self.registrations.token(device, app).is_some();
        let is_there = self.registrations.user_token(user, app).is_some();
        if is_there && !self.enrolments.of_user(user).any(has_app) {
            self.drop_user_token(user, app);
        }
    }

    /// Whether there was one.
    fn drop_user_token(&mut self, user: UserKey, app: AppKey) -> bool {
        let Some(token) = self.forget_user_token(user, app) else { return false };
        self.erase_at_once(Key::UserToken(token));
        true
    }

    /// The row stays.
    pub(super) fn forget_user_token(&mut self, user: UserKey, app: AppKey) -> Option<Token> {
        let token = self.registrations.remove(Owner::User(user, app))?;
        self.users.release(user);
        self.apps.release(app);
        Some(token)
    }

    pub(super) fn revoke_user_token(&mut self, user: &UserId, app: &AppId) -> Result<Answer, Refusal> {
        let owner = self.users.find(user).zip(self.apps.find(app));
        let is_gone = owner.is_some_and(|(user, app)| self.drop_user_token(user, app));
        if is_gone { Ok(Answer::Done) } else { Err(Refusal::UnknownToken) }
    }

    pub(super) fn make_code(
        &mut self,
        user: &UserId,
        valid_for: Duration,
        random: &mut Random,
    ) -> Result<Answer, Refusal> {
        let is_leaving = self.users.find(user).is_some_and(|user| self.leaving.has_user(user));
        if is_leaving || self.codes.len() >= self.limits.codes_max {
            return Err(Refusal::Unavailable);
        }
        self.check_disk_room()?;
        let (secret, expires) = (CodeSecret(draw(random)), self.now + valid_for);
        let code = OpenCode { user: self.users.hold(user), expires };
        self.codes.insert(secret.digest(), code);
        let key = Key::Code(secret.digest());
        self.put(key, CodeRow { user: user.clone(), expires }.encode(key));
        Ok(Answer::Code(Code { secret, expires }))
    }

    pub(super) fn enrol(&mut self, session: SessionId, code: &CodeSecret, random: &mut Random) -> Answer {
        Answer::Enrolment(Enrolment { session, outcome: self.use_code(code, random) })
    }

    /// Makes a device of the code, which is gone then.
    fn use_code(&mut self, code: &CodeSecret, random: &mut Random) -> Result<Enrolled, Refusal> {
        let secret = code.digest();
        let open = self.codes.get(&secret).ok_or(Refusal::UnknownCode)?;
        if self.enrolments.of_user(open.user).count() >= self.limits.devices_per_user_max {
            return Err(Refusal::TooManyDevices);
        }
        if self.enrolments.len() >= self.limits.devices_max {
            return Err(Refusal::Unavailable);
        }
        self.check_disk_room()?;
        let device = random_device_id(random);
        let credential = Credential::new(draw(random));
        let row = DeviceRow {
            device: device.clone(),
            user: self.users.name(open.user).clone(),
            credential: credential.digest(),
            enrolled: self.now,
            revoked: None,
        };
        self.hold_device(&row);
        self.put(Key::device(&device), row.encode());
        // With the device's row, for a crash between two batches could leave it good for another device.
        if let Some(code) = self.forget_code(&secret) {
            self.erase_at_once(code);
        }
        Ok(Enrolled { device, credential })
    }

    /// Enters an enrolled device.
    pub(in crate::queue) fn hold_device(&mut self, row: &DeviceRow) {
        let DeviceRow { device, credential, enrolled, .. } = row;
        let (key, user) = (self.devices.hold(device), self.users.hold(&row.user));
        let member = Member { key, user, credential: *credential, enrolled: *enrolled };
        self.enrolments.insert(device.clone(), member);
    }

    pub(super) fn bind_app(&mut self, app: &AppId, random: &mut Random) -> Result<Answer, Refusal> {
        let is_bound = self.bound_apps.contains_key(app);
        if !is_bound && self.bound_apps.len() >= self.limits.bound_apps_max {
            return Err(Refusal::Unavailable);
        }
        self.check_disk_room()?;
        let key = Credential::new(draw(random));
        let row = BoundAppRow { app: app.clone(), key: key.digest() };
        match is_bound {
            true => self.put_over(Key::bound_app(app), row.encode()),
            false => self.put_again(Key::bound_app(app), row.encode()),
        }
        self.bound_apps.insert(row.app, row.key);
        Ok(Answer::AppKey(key))
    }

    pub(super) fn unbind_app(&mut self, app: &AppId) -> Result<Answer, Refusal> {
        if self.bound_apps.remove(app).is_some() {
            self.erase(Key::bound_app(app), app.as_str().len());
            self.promise();
        }
        Ok(Answer::Done)
    }
}

fn random_device_id(random: &mut Random) -> DeviceId {
    let bytes: [u8; DEVICE_ID_RANDOM_BYTES] = draw(random);
    URL_SAFE_NO_PAD.encode(bytes).parse().expect("base64 is a device id")
}
