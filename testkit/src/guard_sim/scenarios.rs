//! The stories: what owners do that looks like theft, and what thieves do that looks like owners.

use super::chance::Chance;
use super::people::{Person, Thief};
use super::{Act, BEGIN, DAY, HOUR, MINUTE, Plan, SECOND};

/// A story.
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// A thief is in it.
    pub is_theft: bool,
    /// What is promised of every theft is not promised of this one: it cannot be told from what owners do by anything but what receivers say.
    pub is_at_the_limit: bool,
    /// Makes one of it.
    pub plan: fn(u64) -> Plan,
}

/// All of them: what is honest first.
pub const SCENARIOS: &[Scenario] = &[
    honest("ordinary half year", "an office account for 180 days: office, home, telephone, weekends", ordinary),
    honest(
        "new employee",
        "no past at all; 15 to 40 messages a day from the first day on, most to people new to the account",
        new_employee,
    ),
    honest("holiday return", "three weeks away, then 60 to 150 answers within a day, from a home with a new address", holiday),
    honest("traveller", "a week abroad, twice: hotels, airports, a foreign telephone network", traveller),
    honest(
        "newsletter day",
        "400 to 2,500 subscribers once a month; for the first issue a person vouches for the account",
        newsletter,
    ),
    honest(
        "month-end invoices",
        "100 to 300 invoices at the end of each month, some to new customers; the first time a person vouches",
        invoices,
    ),
    honest(
        "support desk",
        "30 to 75 messages a day, most to people never written to before, some of whose addresses are wrong",
        support,
    ),
    honest("web shop", "a program: orders grow from 20 to 150 a day, each to a new customer, with typing errors", shop),
    honest(
        "event invitation",
        "60 to 120 people at once, a fifth of them new, twice a half year, as a few messages or as one for each",
        invitation,
    ),
    honest(
        "school class list",
        "one message to 20 to 30 parents the account never wrote to, and answers on the days after",
        class_list,
    ),
    honest(
        "list migration",
        "500 to 1,500 addresses of an old list, one in twenty dead; a person vouches for the day",
        migration,
    ),
    honest("script in a loop", "a program with a bug sends to the same address every 10 to 60 seconds for two days", looping),
    honest("sales week", "an office account writes to 10 to 25 new people on each day of a week, one in thirty mistyped", sales),
    theft("10 a minute", "a stolen password, at night, from another network", |seed| at_rate(seed, 6 * SECOND, 3 * HOUR)),
    theft("10,000 an hour", "the same, as fast as a program can", |seed| at_rate(seed, 360, 20 * MINUTE)),
    theft("low and slow", "30 messages a day for weeks, from another network", low_and_slow),
    theft(
        "low and slow from home",
        "the same from a machine of the owner's, between the owner's own mail",
        low_and_slow_from_home,
    ),
    theft("botnet", "each message from another network, one a minute", botnet),
    theft(
        "web form",
        "a form of a web site is made to write to strangers, 10 a minute, from the host it always sends from",
        web_form,
    ),
    theft("contacts first", "15 to 25 of the owner's contacts, then strangers, from another network", contacts_first),
    theft("contacts only", "the owner's own contacts, 5 a minute, from another network", contacts_only),
    theft("infected machine", "from the owner's own office in office hours, 3 a minute", infected),
    theft("a hundred at a time", "messages with 100 recipients each", hundreds),
    theft("stolen support desk", "an account that writes to strangers all day, from another network at 10 a minute", |seed| {
        stolen(support(seed), seed)
    }),
    theft("stolen newsletter", "an account that sends thousands once a month, from another network at 10 a minute", |seed| {
        stolen(newsletter(seed), seed)
    }),
    theft("stolen on its second day", "an account with hardly any past, from another network at 10 a minute", |seed| {
        let mut owner = Person::office(seed);
        owner.days(0..2);
        theft_after(owner, seed, 2, 6 * SECOND, 3 * HOUR)
    }),
];

const fn honest(name: &'static str, what: &'static str, plan: fn(u64) -> Plan) -> Scenario {
    Scenario { name, what, is_theft: false, is_at_the_limit: false, plan }
}

const fn theft(name: &'static str, what: &'static str, plan: fn(u64) -> Plan) -> Scenario {
    Scenario { name, what, is_theft: true, is_at_the_limit: false, plan }
}

fn ordinary(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..180);
    owner.plan
}

fn new_employee(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.daily = owner.chance.between(15.0, 28.0);
    owner.spread = 0.4;
    for day in 0..90 {
        // At first nearly everybody is new.
        owner.new = 0.08 + 0.6 * (-(day as f64) / 12.0).exp();
        owner.days(day..day + 1);
    }
    owner.plan
}

fn holiday(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..100);
    let network = 0x1e00_0000 | (owner.chance.number() as u32 & 0x00ff_ff00);
    let (messages, mut time) = (owner.chance.whole(60, 150), 7 * HOUR);
    let gap = 10 * HOUR / messages;
    for _ in 0..messages {
        let to = owner.ordinary();
        // In the evening before, some from a home that has another address by now; then from the office.
        if owner.chance.is(0.15) {
            owner.send_from(120, 20 * HOUR + time / 12, to, network, *b"DE");
        } else {
            owner.send_from_office(121, time, to);
        }
        time += (owner.chance.between(0.2, 1.8) * gap as f64) as u64;
    }
    owner.days(122..180);
    owner.plan
}

fn traveller(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..80);
    let trip = |owner: &mut Person, from: u64| {
        let mut network = || 0x3100_0000 | (owner.chance.number() as u32 & 0x00ff_ff00);
        let places = [network(), network(), network(), network()];
        for day in from..from + 6 {
            for _ in 0..owner.volume(day) {
                let to = owner.ordinary();
                // The hotel mostly.
                let place = if owner.chance.is(0.6) { 0 } else { owner.chance.whole(1, 3) as usize };
                let time = owner.hour();
                owner.send_from(day, time, to, places[place], *b"US");
            }
        }
    };
    trip(&mut owner, 80);
    owner.days(86..130);
    trip(&mut owner, 130);
    owner.days(136..180);
    owner.plan
}

fn newsletter(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..30);
    let friends = owner.contacts.len();
    let mut subscribers = owner.chance.whole(400, 2500) as usize;
    for issue in 0..6_u64 {
        let day = 30 + issue * 30;
        if issue == 0 {
            owner.plan.trusts.push((BEGIN + day * DAY, 2 * DAY));
            for _ in 0..subscribers {
                owner.stranger();
            }
        }
        let known = owner.contacts.split_off(friends.min(owner.contacts.len()));
        let mut list = known.clone();
        list.truncate(subscribers);
        let mut all: Vec<_> = Vec::new();
        let churn = owner.chance.between(0.003, 0.012);
        for id in list {
            let answer = if owner.chance.is(churn) { super::Answer::Unknown } else { super::Answer::Takes };
            all.push(super::Addressee { id, answer });
        }
        owner.contacts.extend(known);
        if issue > 0 {
            // Between two and six of a hundred are new.
            let new = (subscribers as f64 * owner.chance.between(0.02, 0.06)) as usize;
            subscribers += new;
            all.extend((0..new).map(|_| owner.stranger()));
        }
        let start = owner.hour();
        let gap = owner.chance.between(0.5, 3.0) * SECOND as f64;
        for (index, to) in all.into_iter().enumerate() {
            owner.send_from_office(day, start.min(20 * HOUR) + (index as f64 * gap) as u64, vec![to]);
        }
        owner.days(day + 1..day + 30);
    }
    owner.plan
}

fn invoices(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..25);
    let friends = owner.contacts.len();
    let customers = owner.chance.whole(100, 300) as usize;
    let mut book: Vec<u64> = (0..customers).map(|_| owner.stranger().id).collect();
    for month in 0..6_u64 {
        let day = 25 + month * 30;
        if month == 0 {
            owner.plan.trusts.push((BEGIN + day * DAY, 2 * DAY));
        }
        let new = owner.chance.whole(0, customers as u64 / 16);
        let mut all: Vec<super::Addressee> = Vec::new();
        for id in &book {
            let answer = if owner.chance.is(0.006) { super::Answer::Unknown } else { super::Answer::Takes };
            if owner.chance.is(0.9) {
                all.push(super::Addressee { id: *id, answer });
            }
        }
        for _ in 0..new {
            let one = owner.stranger();
            book.push(one.id);
            all.push(one);
        }
        owner.contacts.truncate(friends.max(8));
        let start = owner.hour().min(18 * HOUR);
        for (index, to) in all.into_iter().enumerate() {
            owner.send_from_office(day, start + index as u64 * 4 * SECOND, vec![to]);
        }
        owner.days(day + 1..day + 30);
    }
    owner.plan
}

fn support(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.daily = owner.chance.between(30.0, 75.0);
    owner.spread = 0.3;
    owner.new = owner.chance.between(0.55, 0.8);
    owner.typos = owner.chance.between(0.02, 0.05);
    // It begins as everything does: with fewer.
    let full = owner.daily;
    for day in 0..120 {
        owner.daily = full.min(12.0 + day as f64 * 2.0);
        owner.days(day..day + 1);
    }
    owner.plan
}

fn shop(seed: u64) -> Plan {
    let mut owner = Person::program(seed);
    owner.spread = 0.35;
    owner.typos = owner.chance.between(0.02, 0.05);
    let full = owner.chance.between(50.0, 110.0);
    for day in 0..120_u64 {
        owner.daily = full.min(20.0 + day as f64);
        for _ in 0..owner.volume(day) {
            // People buy in the evening too, and some again.
            let time = (owner.chance.between(6.0, 23.5) * HOUR as f64) as u64;
            let to = if owner.chance.is(0.75) { owner.stranger() } else { owner.contact() };
            owner.send_from_office(day, time, vec![to]);
        }
    }
    owner.plan
}

fn invitation(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.daily = owner.daily.max(7.0);
    owner.new = owner.new.max(0.08);
    owner.days(0..90);
    for day in [90, 150_u64] {
        let (all, new) = (owner.chance.whole(60, 120) as usize, owner.chance.between(0.12, 0.28));
        let strangers = (all as f64 * new) as usize;
        let mut to = owner.everybody(all - strangers);
        to.extend((0..strangers).map(|_| owner.stranger()));
        let start = owner.hour().min(18 * HOUR);
        if owner.chance.is(0.5) {
            for (index, to) in to.chunks(30).enumerate() {
                owner.send_from_office(day, start + index as u64 * 3 * MINUTE, to.to_vec());
            }
        } else {
            for (index, to) in to.into_iter().enumerate() {
                owner.send_from_office(day, start + index as u64 * 5 * SECOND, vec![to]);
            }
        }
        owner.days(day + 1..day + 60);
    }
    owner.plan
}

fn class_list(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..90);
    let parents = owner.chance.whole(20, 30) as usize;
    let to: Vec<_> = (0..parents).map(|index| if index < 2 { owner.contact() } else { owner.stranger() }).collect();
    let time = 20 * HOUR + owner.chance.whole(0, HOUR);
    owner.send(90, time, to);
    owner.days(91..180);
    owner.plan
}

fn migration(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..60);
    owner.plan.trusts.push((BEGIN + 60 * DAY, 2 * DAY));
    let (members, typos) = (owner.chance.whole(500, 1500), owner.typos);
    owner.typos = 0.05;
    let start = 9 * HOUR;
    for index in 0..members {
        let to = vec![owner.stranger()];
        owner.send_from_office(60, start + index * 4 * SECOND, to);
    }
    owner.typos = typos;
    owner.days(61..120);
    owner.plan
}

fn looping(seed: u64) -> Plan {
    let mut owner = Person::program(seed);
    owner.daily = owner.chance.between(2.0, 8.0);
    owner.new = 0.01;
    owner.days(0..60);
    let mut to = owner.contact();
    if owner.chance.is(0.4) {
        to.answer = super::Answer::Unknown;
    }
    let (mut time, gap) = (0, owner.chance.whole(10, 60) * SECOND);
    while time < 2 * DAY {
        owner.send_from_office(60, time, vec![to]);
        time += gap;
    }
    owner.days(62..90);
    owner.plan
}

fn sales(seed: u64) -> Plan {
    let mut owner = Person::office(seed);
    owner.days(0..90);
    owner.typos = 1.0 / 30.0;
    owner.called_spam = 0.01;
    for day in 90..95_u64 {
        for _ in 0..owner.chance.whole(10, 25) {
            let (to, time) = (vec![owner.stranger()], owner.hour());
            owner.send_from_office(day, time, to);
        }
        owner.days(day..day + 1);
    }
    owner.days(95..150);
    owner.plan
}

/// An owner with a past of between two and four months.
fn victim(seed: u64) -> (Person, u64) {
    let mut owner = Person::office(seed);
    let days = owner.chance.whole(60, 120);
    owner.days(0..days);
    (owner, days)
}

fn theft_after(mut owner: Person, seed: u64, day: u64, gap: u64, lasting: u64) -> Plan {
    let mut thief = Thief::new(seed);
    let begin = BEGIN + day * DAY + thief.chance.whole(0, 5 * HOUR);
    let mut at = 0;
    while at < lasting {
        let to = thief.victims(1);
        thief.send(&mut owner.plan, begin + at, to);
        at += (thief.chance.between(0.5, 1.5) * gap as f64) as u64;
    }
    // The owner knows of nothing.
    owner.days(day..day + 2);
    owner.plan
}

fn at_rate(seed: u64, gap: u64, lasting: u64) -> Plan {
    let (owner, day) = victim(seed);
    theft_after(owner, seed, day, gap, lasting)
}

fn stolen(plan: Plan, seed: u64) -> Plan {
    let mut thief = Thief::new(seed);
    let last = plan.acts.iter().map(|act| act.at).max().unwrap_or(BEGIN);
    let mut plan = plan;
    // In the midst of its life, not at its end.
    let begin = last - thief.chance.whole(1, 20) * DAY;
    for turn in 0..1000 {
        let to = thief.victims(1);
        thief.send(&mut plan, begin + turn * 6 * SECOND, to);
    }
    plan.acts.retain(|act: &Act| act.is_theft || act.at < begin + 3 * DAY);
    plan
}

fn slowly(seed: u64, is_from_home: bool) -> Plan {
    let (mut owner, first) = victim(seed);
    let mut thief = Thief::new(seed);
    for day in first..first + 14 {
        for _ in 0..30 {
            let time = thief.chance.whole(0, DAY - 1);
            let to = thief.victims(1);
            if is_from_home {
                let hour = owner.hour();
                owner.send_from_office(day, hour, to);
                if let Some(act) = owner.plan.acts.last_mut() {
                    act.is_theft = true;
                }
            } else {
                thief.send(&mut owner.plan, BEGIN + day * DAY + time, to);
            }
        }
        owner.days(day..day + 1);
    }
    owner.plan
}

fn low_and_slow(seed: u64) -> Plan {
    slowly(seed, false)
}

fn low_and_slow_from_home(seed: u64) -> Plan {
    slowly(seed, true)
}

fn botnet(seed: u64) -> Plan {
    let (mut owner, day) = victim(seed);
    let mut thief = Thief::new(seed);
    let begin = BEGIN + day * DAY + thief.chance.whole(0, DAY - 1);
    for turn in 0..600 {
        (thief.network, thief.country) = thief.another_network();
        let to = thief.victims(1);
        thief.send(&mut owner.plan, begin + turn * MINUTE, to);
    }
    owner.days(day..day + 2);
    owner.plan
}

fn web_form(seed: u64) -> Plan {
    let mut owner = Person::program(seed);
    // The site writes to its owner, and a copy to whoever filled the form in.
    owner.daily = owner.chance.between(3.0, 10.0);
    owner.new = owner.chance.between(0.2, 0.5);
    let day = owner.chance.whole(60, 120);
    owner.days(0..day);
    from_own_place(owner, seed, day, 6 * SECOND)
}

fn infected(seed: u64) -> Plan {
    let (owner, day) = victim(seed);
    from_own_place(owner, seed, day, 20 * SECOND)
}

fn from_own_place(mut owner: Person, seed: u64, day: u64, gap: u64) -> Plan {
    let mut thief = Thief::new(seed);
    let begin = owner.hour().min(16 * HOUR);
    for turn in 0..1000 {
        let to = thief.victims(1);
        owner.send_from_office(day, begin + turn * gap, to);
        if let Some(act) = owner.plan.acts.last_mut() {
            act.is_theft = true;
        }
    }
    owner.days(day..day + 2);
    owner.plan
}

fn contacts_first(seed: u64) -> Plan {
    let (mut owner, day) = victim(seed);
    let mut thief = Thief::new(seed);
    let begin = BEGIN + day * DAY + thief.chance.whole(0, DAY - 1);
    let friends = thief.chance.whole(15, 25);
    for turn in 0..800 {
        let to = vec![if turn < friends { thief.friend(&mut owner) } else { thief.victim() }];
        thief.send(&mut owner.plan, begin + turn * 6 * SECOND, to);
    }
    owner.days(day..day + 2);
    owner.plan
}

fn contacts_only(seed: u64) -> Plan {
    let (mut owner, day) = victim(seed);
    let mut thief = Thief::new(seed);
    let begin = BEGIN + day * DAY + thief.chance.whole(0, DAY - 1);
    for turn in 0..300 {
        let to = vec![thief.friend(&mut owner)];
        thief.send(&mut owner.plan, begin + turn * 12 * SECOND, to);
    }
    owner.days(day..day + 2);
    owner.plan
}

fn hundreds(seed: u64) -> Plan {
    let (mut owner, day) = victim(seed);
    let mut thief = Thief::new(seed);
    let mut chance = Chance::new(seed);
    let begin = BEGIN + day * DAY + chance.whole(0, DAY - 1);
    for turn in 0..20 {
        let to = thief.victims(100);
        if chance.is(0.5) {
            thief.network = 0x5000_0000 | (chance.number() as u32 & 0x0fff_ff00);
        }
        thief.send(&mut owner.plan, begin + turn * MINUTE, to);
    }
    owner.days(day..day + 2);
    owner.plan
}
