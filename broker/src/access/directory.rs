//! Who is known, and by which secrets: the credentials in memory. Pure; [`guard`](super::guard)
//! drives it.

use std::mem;
use std::sync::Arc;

use bellwire_model::{DeviceId, Timestamp};
use hashbrown::HashMap;

use super::Denied;
use super::glob::DevicePattern;
use super::principal::{Principal, Subject};
use super::secret::{SecretHash, TokenKind};

/// The shortest secret that a device may make for itself, in bytes.
pub const SECRET_BYTES_MIN: usize = 32;

/// Whether an account may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It may not, whatever it shows.
    Revoked,
}

/// A device or service account, as it is kept.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who it is; never [`Principal::Anyone`].
    pub principal: Principal,
    /// Of a gateway: the devices that it speaks for beside itself.
    pub speaks_for: Vec<DevicePattern>,
    /// Whether it may be used.
    pub standing: Standing,
    /// What proves it.
    pub secret: Option<SecretHash>,
    /// What proves it until this time, while a new secret is brought to it.
    pub previous: Option<(SecretHash, Timestamp)>,
}

/// What registers new devices.
#[derive(Clone, Debug)]
pub struct ProvisioningToken {
    /// Its name.
    pub name: Box<str>,
    /// What proves it.
    pub hash: SecretHash,
    /// The devices that it may register.
    pub devices: DevicePattern,
    /// From when on it does not.
    pub expires_at: Timestamp,
    /// How many it may still register.
    pub uses_left: u32,
}

/// What has changed, or all there is.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Whether `accounts` are all there are.
    pub scope: Scope,
    /// Accounts as they are now.
    pub accounts: Vec<Account>,
    /// All provisioning tokens that are not revoked.
    pub provisioning: Vec<ProvisioningToken>,
}

/// What [`Changes`] have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All accounts there are.
    All,
    /// Those that have changed.
    Changed,
}

/// A device that a provisioning token shall register.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The token's name.
    pub token: Box<str>,
    /// The device.
    pub device: DeviceId,
    /// What will prove it from then on.
    pub secret: SecretHash,
}

/// Why a CONNECT is refused; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoCredentials,
    UnknownUser,
    WrongPassword,
    Revoked,
    RevokedCertificate,
    CertificateMismatch,
    ProvisioningUnknown,
    ProvisioningRefused,
    Unavailable,
}

impl Reason {
    pub(super) const ALL: [Self; 9] = [
        Self::NoCredentials,
        Self::UnknownUser,
        Self::WrongPassword,
        Self::Revoked,
        Self::RevokedCertificate,
        Self::CertificateMismatch,
        Self::ProvisioningUnknown,
        Self::ProvisioningRefused,
        Self::Unavailable,
    ];

    /// The stable word for it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::Revoked => "revoked",
            Self::RevokedCertificate => "revoked_certificate",
            Self::CertificateMismatch => "certificate_mismatch",
            Self::ProvisioningUnknown => "provisioning_unknown",
            Self::ProvisioningRefused => "provisioning_refused",
            Self::Unavailable => "unavailable",
        }
    }

    /// What the client hears: whether a user exists it does not.
    pub(super) const fn denied(self) -> Denied {
        match self {
            Self::UnknownUser | Self::WrongPassword | Self::Revoked | Self::ProvisioningUnknown => {
                Denied::BadCredentials
            }
            Self::NoCredentials
            | Self::RevokedCertificate
            | Self::CertificateMismatch
            | Self::ProvisioningRefused => Denied::NotAuthorized,
            Self::Unavailable => Denied::Unavailable,
        }
    }
}

/// What becomes of a CONNECT.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It comes in as this.
    Admitted(Arc<Subject>),
    /// It does not.
    Refused(Reason),
    /// It does if this can be registered.
    Register(Registration),
    /// Its certificate proves it, and it has no entry yet: see [`Directory::certify`].
    Certified(DeviceId),
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It is kept in the database.
    Kept,
    /// A certificate; here so that it can be revoked like any other.
    Certificate,
}

#[derive(Debug)]
struct Entry {
    account: Account,
    subject: Arc<Subject>,
    origin: Origin,
}

impl Entry {
    fn new(account: Account, origin: Origin) -> Self {
        let speaks_for = account.speaks_for.clone().into();
        let subject = Arc::new(Subject::new(account.principal.clone(), speaks_for));
        Self { account, subject, origin }
    }

    fn is_proven_by(&self, secret: &SecretHash, now: Timestamp) -> bool {
        // Both are compared whatever the first says.
        let current = self.account.secret.is_some_and(|own| own.is_same(secret));
        let previous = self.account.previous;
        let previous = previous.is_some_and(|(own, until)| own.is_same(secret) && now < until);
        current | previous
    }
}

/// Whether connections that came in by `old` have to go, now that there is `new`.
fn must_end(old: &Account, new: &Account) -> bool {
    let known = |hash: &SecretHash| {
        let secrets = new.secret.iter().chain(new.previous.iter().map(|(hash, _)| hash));
        secrets.into_iter().any(|own| own.is_same(hash))
    };
    // A secret whose time is over let nobody in: nothing ends when it is forgotten. Nor can a
    // clock be asked here; so only the current secret counts.
    new.standing == Standing::Revoked && old.standing == Standing::Active
        || new.principal != old.principal
        || new.speaks_for != old.speaks_for
        || old.secret.as_ref().is_some_and(|hash| !known(hash))
}

/// The credentials in memory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: HashMap<Box<str>, Entry>,
    provisioning: Vec<ProvisioningToken>,
    is_loaded: bool,
}

impl Directory {
    /// How many accounts are kept.
    pub(super) fn n_accounts(&self) -> usize {
        self.entries.values().filter(|entry| entry.origin == Origin::Kept).count()
    }

    /// Takes changes up; gives whose connections have to go.
    pub(super) fn apply(&mut self, changes: Changes) -> Vec<Principal> {
        let mut gone = Vec::new();
        self.is_loaded = true;
        self.provisioning = changes.provisioning;
        let mut old = match changes.scope {
            Scope::Changed => HashMap::new(),
            Scope::All => mem::take(&mut self.entries),
        };
        for account in changes.accounts {
            let Some(name) = account.principal.name().map(Box::<str>::from) else { continue };
            let known = old.remove(&name).or_else(|| self.entries.remove(&name));
            let entry = replaced(known, account, &mut gone);
            self.entries.insert(name, entry);
        }
        for (name, entry) in old {
            if entry.origin == Origin::Certificate {
                self.entries.insert(name, entry);
            } else {
                entry.subject.end();
                gone.push(entry.account.principal);
            }
        }
        gone
    }

    /// Adds a device that was just registered, unless it is known by now.
    pub(super) fn add_registered(&mut self, registration: Registration) {
        let account = Account {
            principal: Principal::Device(registration.device.clone()),
            speaks_for: Vec::new(),
            standing: Standing::Active,
            secret: Some(registration.secret),
            previous: None,
        };
        let name = registration.device.as_str();
        match self.entries.get_mut(name) {
            None => {
                self.entries.insert(name.into(), Entry::new(account, Origin::Kept));
            }
            Some(entry) if entry.origin == Origin::Certificate => {
                entry.account = account;
                entry.origin = Origin::Kept;
            }
            // Seen in the database by now, perhaps revoked.
            Some(_) => {}
        }
    }

    /// What a device is that came with a certificate and has no entry: then it gets one.
    pub(super) fn certify(&mut self, device: &DeviceId) -> Verdict {
        let entry = self.entries.entry(device.as_str().into()).or_insert_with(|| {
            let account = Account {
                principal: Principal::Device(device.clone()),
                speaks_for: Vec::new(),
                standing: Standing::Active,
                secret: None,
                previous: None,
            };
            Entry::new(account, Origin::Certificate)
        });
        match entry.account.standing {
            Standing::Active => Verdict::Admitted(Arc::clone(&entry.subject)),
            Standing::Revoked => Verdict::Refused(Reason::RevokedCertificate),
        }
    }

    /// Decides about a client that shows a certificate for `device`, and perhaps a user name.
    pub(super) fn judge_certificate(&self, device: &DeviceId, user: Option<&str>) -> Verdict {
        if !self.is_loaded {
            return Verdict::Refused(Reason::Unavailable);
        }
        if user.is_some_and(|user| user != device.as_str()) {
            return Verdict::Refused(Reason::CertificateMismatch);
        }
        match self.entries.get(device.as_str()) {
            // The name is a service account's: the certificate is not for that.
            Some(entry) if !matches!(entry.account.principal, Principal::Device(_)) => {
                Verdict::Refused(Reason::CertificateMismatch)
            }
            Some(entry) if entry.account.standing == Standing::Revoked => {
                Verdict::Refused(Reason::RevokedCertificate)
            }
            Some(entry) => Verdict::Admitted(Arc::clone(&entry.subject)),
            None => Verdict::Certified(device.clone()),
        }
    }

    /// Decides about a client that shows a user name and a password.
    pub(super) fn judge(&self, user: &str, password: &[u8], now: Timestamp) -> Verdict {
        if !self.is_loaded {
            return Verdict::Refused(Reason::Unavailable);
        }
        // Hashed before it is known whether there is such a user: it takes as long for both.
        let hash = SecretHash::of(password);
        let entry = self.entries.get(user);
        if let Some(entry) = entry
            && entry.account.standing == Standing::Active
            && entry.is_proven_by(&hash, now)
        {
            return Verdict::Admitted(Arc::clone(&entry.subject));
        }
        if let Some((token, secret)) = provisioning_parts(password) {
            return self.judge_registration(user, token, secret, now);
        }
        Verdict::Refused(match entry.map(|entry| entry.account.standing) {
            None => Reason::UnknownUser,
            Some(Standing::Active) => Reason::WrongPassword,
            Some(Standing::Revoked) => Reason::Revoked,
        })
    }

    /// Decides about a password `TOKEN.SECRET`, by which a new device is registered.
    fn judge_registration(
        &self,
        user: &str,
        token: &[u8],
        secret: &[u8],
        now: Timestamp,
    ) -> Verdict {
        let secret_hash = SecretHash::of(secret);
        if let Some(entry) = self.entries.get(user) {
            // The answer was lost and it asks again: its own secret proves it, whatever became of
            // the token meanwhile.
            let Account { standing, secret, .. } = &entry.account;
            if *standing == Standing::Active && entry.is_proven_by(&secret_hash, now) {
                return Verdict::Admitted(Arc::clone(&entry.subject));
            }
            if *standing == Standing::Revoked || secret.is_some() {
                return Verdict::Refused(Reason::ProvisioningRefused);
            }
        }
        let hash = SecretHash::of(token);
        let Some(token) = self.provisioning.iter().find(|it| it.hash.is_same(&hash)) else {
            return Verdict::Refused(Reason::ProvisioningUnknown);
        };
        let is_valid = now < token.expires_at
            && token.uses_left > 0
            && token.devices.matches(user)
            && secret.len() >= SECRET_BYTES_MIN;
        match DeviceId::new(user) {
            Ok(device) if is_valid => Verdict::Register(Registration {
                token: token.name.clone(),
                device,
                secret: secret_hash,
            }),
            _ => Verdict::Refused(Reason::ProvisioningRefused),
        }
    }
}

fn replaced(known: Option<Entry>, account: Account, gone: &mut Vec<Principal>) -> Entry {
    let Some(mut known) = known else { return Entry::new(account, Origin::Kept) };
    if must_end(&known.account, &account) {
        known.subject.end();
        gone.push(known.account.principal);
        return Entry::new(account, Origin::Kept);
    }
    known.account = account;
    known.origin = Origin::Kept;
    known
}

/// The token and the device's secret in a password `TOKEN.SECRET`.
fn provisioning_parts(password: &[u8]) -> Option<(&[u8], &[u8])> {
    if !password.starts_with(TokenKind::Provisioning.prefix().as_bytes()) {
        return None;
    }
    let dot = password.iter().position(|&byte| byte == b'.')?;
    Some((&password[..dot], &password[dot + 1..]))
}

#[cfg(test)]
mod tests;
