//! LOGIN: name and password in two answers. It has no RFC; many programs know nothing else.
//!
//! Promise: two answers and no more; the machine cannot be asked to go back.

use postern_mail::trouble::Fault;

use super::plain::{self, PlainCredentials};

/// What the server asks for first.
pub const ASK_USER: &[u8] = b"Username:";
/// What it asks for then.
pub const ASK_PASSWORD: &[u8] = b"Password:";

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Waits for the name.
    User,
    /// Waits for the password of this user.
    Password {
        /// The name, prepared.
        user: String,
    },
}

/// What comes of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// Send this and come back with the answer.
    Challenge(Login, &'static [u8]),
    /// Both are there.
    Done(PlainCredentials),
}

impl Login {
    /// Begins, with the name where the client sent it as its initial response.
    ///
    /// # Errors
    /// As [`Login::next`].
    pub fn start(initial: Option<&[u8]>) -> Result<LoginStep, Fault> {
        initial.map_or(Ok(LoginStep::Challenge(Self::User, ASK_USER)), |user| Self::User.next(user))
    }

    /// Takes the answer to the last challenge.
    ///
    /// # Errors
    /// [`Fault::Syntax`] for an empty or too long one, [`Fault::NotUtf8`] for a name that is no text.
    pub fn next(self, response: &[u8]) -> Result<LoginStep, Fault> {
        match self {
            Self::User => Ok(LoginStep::Challenge(Self::Password { user: plain::name(response)? }, ASK_PASSWORD)),
            Self::Password { user } => {
                Ok(LoginStep::Done(PlainCredentials { authzid: None, user, password: plain::secret(response)? }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_are_asked_for_in_turn() {
        let LoginStep::Challenge(login, ASK_USER) = Login::start(None).unwrap() else { panic!("asks for the name first") };
        let LoginStep::Challenge(login, ASK_PASSWORD) = login.next(b"user").unwrap() else { panic!("then for the password") };
        let LoginStep::Done(credentials) = login.next(b"pass").unwrap() else { panic!("then it is done") };
        assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("user", &b"pass"[..]));
    }

    #[test]
    fn an_initial_response_is_the_name() {
        let step = Login::start(Some(b"user")).unwrap();
        assert_eq!(step, LoginStep::Challenge(Login::Password { user: "user".to_owned() }, ASK_PASSWORD));
        assert_eq!(Login::start(Some(b"")), Err(Fault::Syntax));
        assert_eq!(Login::start(Some(b"a\0b")), Err(Fault::NotUtf8));
        let waiting = Login::Password { user: "user".to_owned() };
        assert_eq!(waiting.next(b""), Err(Fault::Syntax));
    }
}
