//! `postern held`: messages that wait for a person, whoever held them. It is the queue, looked at from one side.

use clap::Subcommand;

use super::{Changing, QueueVerb, Stop, Which};
use crate::control::{Change, Order};

#[derive(Subcommand)]
pub(crate) enum HeldVerb {
    /// Held messages, oldest first, each with why it is held.
    List(Which),
    /// One message, with everything that is known of it.
    Show {
        /// Its id.
        id: String,
    },
    /// Let messages go on.
    Release(Changing),
    /// Forget messages and tell nobody; --reason says why.
    Discard(Changing),
}

impl HeldVerb {
    pub(crate) fn order(self) -> Result<Order, Stop> {
        let held_ones = |mut changing: Changing, what: Change| {
            // What is to be done to all of them is said, not left out.
            if changing.which.is_everything() {
                return Err(Stop(
                    2,
                    format!(
                        "which of the held messages? Give ids, or one of --account, --domain, --from, --older-than, --reason-like, --held (all of them) to {} them",
                        what.as_str()
                    ),
                ));
            }
            changing.which.held = true;
            changing.order(what)
        };
        match self {
            Self::List(which) => QueueVerb::List(Which { held: true, ..which }).order(),
            Self::Show { id } => QueueVerb::Show { id }.order(),
            Self::Release(changing) => held_ones(changing, Change::Release),
            Self::Discard(changing) if changing.reason.is_empty() => {
                Err(Stop(2, "why? --reason is kept with the message's story and in the audit log".to_owned()))
            }
            Self::Discard(changing) => held_ones(changing, Change::Drop),
        }
    }
}
