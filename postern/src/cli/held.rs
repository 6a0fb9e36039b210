//! `postern held`: messages that wait for a person, whoever held them. It is the queue, looked at from one side.

use std::collections::BTreeMap;

use clap::Subcommand;
use postern_mail::Quoted;

use super::{Changing, QueueVerb, Stop, Which};
use crate::control::{Change, Message, Order};

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

/// Held messages in groups: how many of which account for which cause, where there is more than one.
pub(crate) fn print_groups(messages: &[Message]) {
    let groups = groups(messages);
    if groups.values().sum::<usize>() < 2 {
        return;
    }
    say!("held, by account and cause:");
    for ((account, cause), count) in groups {
        say!("    {count}  {account}  {}", Quoted::text(&cause));
    }
}

/// What a rule holds begins with its name and a colon; the rest was written by a person.
fn groups(messages: &[Message]) -> BTreeMap<(String, String), usize> {
    let mut groups = BTreeMap::new();
    for message in messages {
        let Some(reason) = &message.held else { continue };
        let rule = reason.split_once(':').map(|(name, _)| name).filter(|name| postern_mail::rule::rule(name).is_some());
        let account = message.account.clone().unwrap_or_else(|| "nobody of ours".to_owned());
        *groups.entry((account, rule.unwrap_or(reason).to_owned())).or_default() += 1;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_grouped_by_account_and_by_the_rule_or_the_words_it_is_held_for() {
        let message = |account: Option<&str>, held: Option<&str>| Message {
            id: String::new(),
            from: String::new(),
            account: account.map(str::to_owned),
            size: 0,
            received: 0,
            attempts: 0,
            due: 0,
            held: held.map(str::to_owned),
            recipients: Vec::new(),
        };
        let messages = [
            message(Some("alice"), Some("guard: held with 6.1 points")),
            message(Some("alice"), Some("guard: held while it waited")),
            message(Some("alice"), Some("wait: until monday")),
            message(None, Some("score: 7.0 points")),
            message(Some("alice"), None),
        ];
        let groups: Vec<_> = groups(&messages).into_iter().collect();
        let group = |account: &str, cause: &str, count| ((account.to_owned(), cause.to_owned()), count);
        let expected = [group("alice", "guard", 2), group("alice", "wait: until monday", 1), group("nobody of ours", "score", 1)];
        assert_eq!(groups, expected);
    }
}
