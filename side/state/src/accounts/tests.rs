//! Accounts: made, changed, closed, and still there after a restart.

use tempfile::TempDir;

use super::*;
use crate::password::tests::Counted;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn open(folder: &TempDir) -> Accounts {
    Accounts::open(&Store::open(folder.path()).unwrap(), Arc::new(Counted::default())).unwrap()
}

fn new(name: &str) -> NewAccount<'_> {
    NewAccount { name, password: Some(secret("a plain sentence")), addresses: None }
}

fn with_alice() -> (TempDir, Accounts) {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder);
    accounts.add(NOW, new("alice@example.org")).unwrap();
    (folder, accounts)
}

/// Closes and opens: what is seen then is what is kept.
fn reopened(folder: &TempDir, accounts: Accounts) -> Accounts {
    drop(accounts);
    open(folder)
}

#[test]
fn there_is_no_account_to_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open(&folder).is_empty());
}

#[test]
fn an_account_owns_its_name_and_is_there_after_a_restart() {
    let (folder, accounts) = with_alice();
    let before = accounts.show("alice@example.org").unwrap();
    let accounts = reopened(&folder, accounts);
    let after = accounts.show("ALICE@Example.ORG").unwrap();
    assert_eq!((&after.name, after.created, after.disabled), (&before.name, NOW, false));
    assert_eq!(after.credentials, before.credentials);
    assert_eq!(after.addresses, [Owned::parse("alice@example.org").unwrap()]);
}

#[test]
fn a_password_is_made_when_none_is_given_and_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder);
    let made = accounts.add(NOW, NewAccount { name: "a@b.example", password: None, addresses: None }).unwrap().unwrap();
    assert!(made.expose().len() >= 28);
    let row = accounts.backend.read(Keyspace::Accounts, b"a@b.example").unwrap().unwrap();
    let hash = format!("counted:{}", String::from_utf8_lossy(made.expose()));
    assert!(String::from_utf8(row).unwrap().contains(&hash), "what is kept is the hash of what was shown");
}

#[test]
fn a_name_that_is_no_address_or_is_taken_in_another_case_is_refused() {
    let (_folder, accounts) = with_alice();
    for bad in ["alice", "", "@example.org", "a b@example.org"] {
        assert!(matches!(accounts.add(NOW, new(bad)), Err(AccountFailure::NotAnAddress(_))), "{bad}");
    }
    assert!(matches!(accounts.add(NOW, new("Alice@EXAMPLE.org")), Err(AccountFailure::Exists)));
    assert_eq!(accounts.len(), 1);
}

#[test]
fn a_weak_password_makes_no_account_and_changes_none() {
    let (_folder, accounts) = with_alice();
    let weak = NewAccount { name: "bob@example.org", password: Some(secret("password123")), addresses: None };
    assert!(matches!(accounts.add(NOW, weak), Err(AccountFailure::Weak(_))));
    let before = accounts.show("alice@example.org").unwrap();
    let refused = accounts.set_password(NOW, "alice@example.org", Some(secret("Alice@example.org")));
    assert!(matches!(refused, Err(AccountFailure::Weak(_))));
    assert_eq!(accounts.list(), [before]);
}

#[test]
fn a_new_password_replaces_the_old_one_and_leaves_app_passwords() {
    let (folder, accounts) = with_alice();
    accounts.add_app_password(NOW, "alice@example.org", "phone", None).unwrap();
    let before = accounts.show("alice@example.org").unwrap();
    assert!(accounts.set_password(NOW, "alice@example.org", None).unwrap().is_some());
    let after = reopened(&folder, accounts).show("alice@example.org").unwrap();
    assert_eq!(after.credentials.len(), 2);
    assert_ne!(after.credential(PASSWORD).unwrap().verifier, before.credential(PASSWORD).unwrap().verifier);
    assert_eq!(after.credential("phone"), before.credential("phone"));
}

#[test]
fn app_passwords_have_names_ends_and_selectors_of_their_own() {
    let (folder, accounts) = with_alice();
    let end = Some(UnixMillis(NOW.0 + 1));
    let phone = accounts.add_app_password(NOW, "alice@example.org", "phone", end).unwrap();
    let laptop = accounts.add_app_password(NOW, "alice@example.org", "laptop", None).unwrap();
    assert!(phone != laptop);
    let account = reopened(&folder, accounts).show("alice@example.org").unwrap();
    let kept = account.credential("phone").unwrap();
    assert_eq!(kept.selector.as_deref(), password::selector(phone.expose()).as_deref());
    assert_ne!(kept.selector, account.credential("laptop").unwrap().selector);
    assert!(!kept.is_expired(NOW) && kept.is_expired(UnixMillis(NOW.0 + 1)));
}

#[test]
fn an_app_password_needs_a_free_and_printable_name() {
    let (_folder, accounts) = with_alice();
    accounts.add_app_password(NOW, "alice@example.org", "phone", None).unwrap();
    for bad in ["", "phone", PASSWORD, "line\nend", &"x".repeat(LABEL_CHARS_MAX + 1)] {
        let refused = accounts.add_app_password(NOW, "alice@example.org", bad, None);
        assert!(matches!(refused, Err(AccountFailure::BadLabel)), "{bad}");
    }
}

#[test]
fn an_account_has_a_bounded_number_of_credentials() {
    let (_folder, accounts) = with_alice();
    for number in 1..CREDENTIALS_MAX {
        accounts.add_app_password(NOW, "alice@example.org", &format!("app {number}"), None).unwrap();
    }
    let refused = accounts.add_app_password(NOW, "alice@example.org", "one more", None);
    assert!(matches!(refused, Err(AccountFailure::TooMany(_, CREDENTIALS_MAX))));
}

#[test]
fn an_app_password_can_be_taken_back_and_the_password_cannot() {
    let (folder, accounts) = with_alice();
    accounts.add_app_password(NOW, "alice@example.org", "phone", None).unwrap();
    accounts.remove_app_password("alice@example.org", "phone").unwrap();
    for label in ["phone", PASSWORD] {
        assert!(matches!(accounts.remove_app_password("alice@example.org", label), Err(AccountFailure::UnknownLabel)));
    }
    assert_eq!(reopened(&folder, accounts).show("alice@example.org").unwrap().credentials.len(), 1);
}

#[test]
fn disabling_addresses_and_removal_last_over_a_restart() {
    let (folder, accounts) = with_alice();
    accounts.disable("alice@example.org").unwrap();
    accounts.set_addresses("alice@example.org", vec![Owned::parse("sales.example").unwrap()]).unwrap();
    let accounts = reopened(&folder, accounts);
    let account = accounts.show("alice@example.org").unwrap();
    assert!(account.disabled && account.owns(&Mailbox::parse("anyone@sales.example").unwrap()));
    assert!(!account.owns(&Mailbox::parse("alice@example.org").unwrap()));
    accounts.enable(UnixMillis(1), "alice@example.org").unwrap();
    assert!(!accounts.show("alice@example.org").unwrap().disabled);
    accounts.remove("alice@example.org").unwrap();
    assert!(reopened(&folder, accounts).is_empty());
}

#[test]
fn operations_on_an_account_that_does_not_exist_say_so() {
    let (_folder, accounts) = with_alice();
    let nobody = "nobody@example.org";
    assert!(matches!(accounts.set_password(NOW, nobody, None), Err(AccountFailure::Unknown)));
    assert!(matches!(accounts.add_app_password(NOW, nobody, "phone", None), Err(AccountFailure::Unknown)));
    for refused in [
        accounts.remove_app_password(nobody, "phone"),
        accounts.disable(nobody),
        accounts.enable(UnixMillis(1), nobody),
        accounts.set_addresses(nobody, Vec::new()),
        accounts.remove(nobody),
    ] {
        assert!(matches!(refused, Err(AccountFailure::Unknown)), "{refused:?}");
    }
    let too_many = vec![Owned::parse("a.example").unwrap(); ADDRESSES_MAX + 1];
    assert!(matches!(accounts.set_addresses("alice@example.org", too_many), Err(AccountFailure::TooMany(_, ADDRESSES_MAX))));
}

#[test]
fn accounts_are_listed_by_name() {
    let (_folder, accounts) = with_alice();
    accounts.add(NOW, new("Zoe@example.org")).unwrap();
    accounts.add(NOW, new("\"odd one\"@example.org")).unwrap();
    let names: Vec<String> = accounts.list().iter().map(|account| account.name.to_string()).collect();
    assert_eq!(names, ["\"odd one\"@example.org", "alice@example.org", "zoe@example.org"]);
}

#[test]
fn the_last_use_is_noted_by_the_hour_and_is_no_change_of_the_account() {
    let (folder, accounts) = with_alice();
    let generation = accounts.show("alice@example.org").unwrap().generation;
    let mut noted = Vec::new();
    for minutes in [0, 59, 60] {
        accounts.note_used(UnixMillis(NOW.0 + minutes * 60_000), "alice@example.org", PASSWORD);
        noted.push(accounts.show("alice@example.org").unwrap().credentials[0].last_used.unwrap().0 - NOW.0);
    }
    assert_eq!(noted, [0, 0, 3_600_000]);
    assert_eq!(accounts.show("alice@example.org").unwrap().generation, generation);
    let account = reopened(&folder, accounts).show("alice@example.org").unwrap();
    assert_eq!(account.credentials[0].last_used, Some(UnixMillis(NOW.0 + 3_600_000)));
}

#[test]
fn an_unreadable_account_stops_the_start_and_names_itself() {
    let (folder, accounts) = with_alice();
    let broken = Change::Put(Keyspace::Accounts, b"alice@example.org".to_vec(), b"{}".to_vec());
    accounts.backend.write(vec![broken], Durability::Synced).unwrap();
    drop(accounts);
    let store = Store::open(folder.path()).unwrap();
    let Err(StateFailure::Corrupt(why)) = Accounts::open(&store, Arc::new(Counted::default())) else { panic!("it opened") };
    assert!(why.contains("alice@example.org"), "{why}");
}

#[test]
fn an_unused_credential_gets_notice_first_and_use_takes_it_back() {
    let (folder, accounts) = with_alice();
    let day = |days: u64| UnixMillis(NOW.0 + days * 86_400_000);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let look = |accounts: &Accounts, at: u64| -> Vec<bool> {
        accounts.disable_unused(day(at), days(90), days(14)).unwrap().iter().map(|unused| unused.disabled).collect()
    };
    assert!(look(&accounts, 75).is_empty());
    assert_eq!(look(&accounts, 76), [false], "notice");
    assert!(look(&accounts, 89).is_empty(), "said once");
    accounts.note_used(day(89), "alice@example.org", PASSWORD);
    assert!(look(&accounts, 90).is_empty(), "used meanwhile");
    // Long after: never disabled without notice of the full length, whatever was missed.
    assert_eq!(look(&accounts, 400), [false]);
    let accounts = reopened(&folder, accounts);
    assert!(look(&accounts, 413).is_empty());
    assert_eq!(look(&accounts, 414), [true]);
    assert!(look(&accounts, 500).is_empty(), "done once");
    accounts.enable(day(500), "alice@example.org").unwrap();
    assert!(look(&accounts, 575).is_empty(), "enabling counts as use");
    assert!(accounts.find("alice@example.org").unwrap().credential(PASSWORD).unwrap().standing.disabled.is_none());
}

#[test]
fn a_certificate_that_nobody_uses_gets_notice_is_refused_and_enabled_like_a_password() {
    let (folder, accounts) = with_alice();
    let day = |days: u64| UnixMillis(NOW.0 + days * 86_400_000);
    let look = |accounts: &Accounts, at: u64| {
        // The password is used each time, so that only the certificate is looked at.
        accounts.note_used(day(at), "alice@example.org", PASSWORD);
        let done = accounts.disable_unused(day(at), Duration::from_secs(90 * 86_400), Duration::from_secs(14 * 86_400)).unwrap();
        done.iter().map(|unused| (unused.credential.to_string(), unused.disabled)).collect::<Vec<_>>()
    };
    accounts.add_certificate(NOW, "alice@example.org", [7; 32]).unwrap();
    let certificate = |accounts: &Accounts| accounts.find("alice@example.org").unwrap().certificates[0].clone();
    let name = certificate(&accounts).name();
    assert!(name.len() > LABEL_CHARS_MAX, "no app password can be called so");
    assert_eq!(look(&accounts, 76), [(name.to_string(), false)], "notice");
    assert!(accounts.is_news(day(89), &accounts.find("alice@example.org").unwrap(), &name));
    accounts.note_used(day(89), "alice@example.org", &name);
    assert!(!accounts.note_place(day(89), "alice@example.org", &name, "192.0.2.0/24", 3));
    assert_eq!(look(&accounts, 91), [], "used meanwhile");
    let accounts = reopened(&folder, accounts);
    assert_eq!((certificate(&accounts).added, certificate(&accounts).last_used), (NOW, Some(day(89))));
    assert_eq!(certificate(&accounts).standing.places[0].place, "192.0.2.0/24");
    assert_eq!((look(&accounts, 165), look(&accounts, 179)), (vec![(name.to_string(), false)], vec![(name.to_string(), true)]));
    let shown = ClientCertificate {
        fingerprint: [7; 32],
        addresses: vec![Mailbox::parse("alice@example.org").unwrap()],
        until: day(1000),
        epoch: 0,
    };
    let is_disabled = |accounts: &Accounts| accounts.holders(&shown).iter().map(|holder| holder.is_disabled).collect::<Vec<_>>();
    assert_eq!(is_disabled(&accounts), [true], "nor is its address good for what is disabled");
    accounts.enable(day(180), "alice@example.org").unwrap();
    assert_eq!(is_disabled(&accounts), [false]);
    assert_eq!(look(&accounts, 255), [], "enabling counts as use");
}

#[test]
fn a_rehearsal_says_what_would_come_of_a_change_and_keeps_nothing() {
    let (folder, accounts) = with_alice();
    let watched = accounts.watch(&"alice@example.org".into());
    let rehearsal = accounts.rehearsal();
    rehearsal.disable("alice@example.org").unwrap();
    assert!(rehearsal.show("alice@example.org").unwrap().disabled && !accounts.show("alice@example.org").unwrap().disabled);
    rehearsal.remove("alice@example.org").unwrap();
    assert!(matches!(rehearsal.enable(NOW, "bob@example.org"), Err(AccountFailure::Unknown)));
    assert!(!watched.has_changed().unwrap());
    assert!(!reopened(&folder, accounts).show("alice@example.org").unwrap().disabled);
}

#[test]
fn whoever_watches_an_account_hears_of_its_changes_and_not_of_others() {
    let (_folder, accounts) = with_alice();
    accounts.add(NOW, new("bob@example.org")).unwrap();
    let mut watched = accounts.watch(&"alice@example.org".into());
    accounts.disable("bob@example.org").unwrap();
    assert!(!watched.has_changed().unwrap());
    accounts.disable("alice@example.org").unwrap();
    assert!(watched.has_changed().unwrap());
    watched.mark_unchanged();
    accounts.remove("alice@example.org").unwrap();
    assert!(watched.has_changed().unwrap());
}

#[test]
fn accounts_that_nobody_watches_any_more_are_not_kept_among_the_watched() {
    let (_folder, accounts) = with_alice();
    for number in 0..10_000 {
        drop(accounts.watch(&format!("u{number}@example.org").into()));
    }
    assert!(accounts.watched().by_name.len() <= WATCHED_MIN);
}

#[test]
fn a_scope_is_kept_with_its_account_or_credential_and_a_relay_network_gets_an_account_by_it() {
    let (folder, accounts) = with_alice();
    accounts.add_app_password(NOW, "alice@example.org", "phone", None).unwrap();
    let limit = |scope: &mut AccountScope| {
        scope.message_bytes_max = Some(5);
        Ok(())
    };
    accounts.set_scope("alice@example.org", Some("phone"), limit).unwrap();
    accounts.set_scope("network:192.0.2.0/24", None, limit).unwrap();
    accounts.set_scope("network:192.0.2.9", None, limit).unwrap();
    assert!(accounts.find("network:192.0.2.9/32").is_some(), "as the policy names it");
    assert!(matches!(accounts.set_scope("network:192.0.2.7/2", None, limit), Err(AccountFailure::NotANetwork(_))));
    assert!(matches!(accounts.set_scope("alice@example.org", Some("none"), limit), Err(AccountFailure::UnknownLabel)));
    assert!(matches!(accounts.set_scope("bob@example.org", None, limit), Err(AccountFailure::Unknown)));
    let wrong = |_: &mut AccountScope| Err("no".to_owned());
    assert!(matches!(accounts.set_scope("alice@example.org", None, wrong), Err(AccountFailure::BadScope(_))));
    let accounts = reopened(&folder, accounts);
    let alice = accounts.show("alice@example.org").unwrap();
    assert!(alice.scope.is_empty());
    assert_eq!(alice.credential("phone").unwrap().standing.scope.message_bytes_max, Some(5));
    assert_eq!(accounts.find("network:192.0.2.0/24").unwrap().scope.message_bytes_max, Some(5));
}

#[test]
fn an_account_that_was_disabled_for_long_is_not_disabled_again_for_it_when_it_is_enabled() {
    let (folder, accounts) = with_alice();
    let day = |day: u64| UnixMillis(NOW.0 + day * 86_400_000);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let look = |accounts: &Accounts, at| accounts.disable_unused(day(at), days(90), days(14)).unwrap();
    assert!(!look(&accounts, 80)[0].disabled, "notice");
    accounts.disable("alice@example.org").unwrap();
    accounts.enable(day(140), "alice@example.org").unwrap();
    let accounts = reopened(&folder, accounts);
    assert_eq!(look(&accounts, 140), []);
    assert!(!look(&accounts, 220)[0].disabled, "its time begins anew, with a notice of its own");
}

#[test]
fn what_is_done_about_unused_credentials_is_told_for_every_account_or_not_done() {
    let (_folder, accounts) = with_alice();
    accounts.add(NOW, new("bob@example.org")).unwrap();
    accounts.add_app_password(NOW, "bob@example.org", "phone", None).unwrap();
    let later = UnixMillis(NOW.0 + 80 * 86_400_000);
    let done = accounts.disable_unused(later, Duration::from_secs(90 * 86_400), Duration::from_secs(14 * 86_400)).unwrap();
    let mut told: Vec<_> = done.iter().map(|unused| format!("{} {}", unused.account, unused.credential)).collect();
    told.sort();
    assert_eq!(told, ["alice@example.org password", "bob@example.org password", "bob@example.org phone"]);
    for account in accounts.list() {
        assert!(account.credentials.iter().all(|credential| credential.standing.noticed == Some(later)));
    }
}

#[test]
fn a_use_is_noted_and_where_a_scope_refused_a_right_password() {
    let (folder, accounts) = with_alice();
    assert!(accounts.is_news(NOW, &accounts.show("alice@example.org").unwrap(), PASSWORD));
    accounts.note_used(NOW, "alice@example.org", PASSWORD);
    assert!(accounts.note_strayed(NOW, "alice@example.org", PASSWORD, "198.51.100.0/24"));
    assert!(!accounts.note_strayed(NOW, "alice@example.org", PASSWORD, "198.51.100.0/24"), "once an hour");
    let alice = reopened(&folder, accounts).show("alice@example.org").unwrap();
    let password = alice.credential(PASSWORD).unwrap();
    assert_eq!(password.last_used, Some(NOW));
    assert_eq!(password.standing.strayed.as_ref().unwrap().place, "198.51.100.0/24");
}

#[test]
fn a_relay_network_cannot_be_given_a_password_or_a_certificate() {
    let (_folder, accounts) = with_alice();
    let name = "network:192.0.2.0/24";
    accounts.set_scope(name, None, |_| Ok(())).unwrap();
    assert!(matches!(accounts.set_password(NOW, name, None), Err(AccountFailure::IsNetwork)));
    assert!(matches!(accounts.add_app_password(NOW, name, "phone", None), Err(AccountFailure::IsNetwork)));
    assert!(matches!(accounts.add_certificate(NOW, name, [7; 32]), Err(AccountFailure::IsNetwork)));
    assert!(accounts.find(name).unwrap().credentials.is_empty());
}
