//! What lists cost: `cargo run --release -p postern-state --example list_cost -- [NETWORKS] [ROUNDS]`. For lists of a million networks: memory, loading
//! against reading the file and parsing its lines, and a question against one of a `HashMap` with as many single addresses; and the same for a
//! million names, where a question is about a sender. Everything in one run and in turns; the median of each is told.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a stopwatch, not a server"
)]

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::list::{self, Format};
use postern_mail::netset::{Action, AskedName, NameKind, Network};
use postern_mail::{Mailbox, Mode};
use postern_state::{FileSettings, Files, ListSettings, Lists, Store};

const QUESTIONS: usize = 1_000_000;
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn network(numbers: &mut Numbers, v6: bool) -> Network {
    let number = numbers.next();
    let (address, length): (IpAddr, u64) = if v6 {
        let address = u128::from(number & 0x1fff_ffff_ffff_ffff | 0x2000_0000_0000_0000) << 64 | u128::from(numbers.next());
        (Ipv6Addr::from(address).into(), [32, 48, 56, 64, 64, 64, 128][(number % 7) as usize])
    } else {
        (Ipv4Addr::from((number >> 32) as u32).into(), [16, 20, 24, 24, 28, 32, 32, 32][(number % 8) as usize])
    };
    let cut: IpAddr = match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) & u32::MAX << (32 - length)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & u128::MAX << (128 - length)).into(),
    };
    Network::new(cut, length as u8).expect("a network")
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1024.0 / 1024.0
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let count = arguments.next().unwrap_or(Ok(1_000_000))?;
    let rounds = arguments.next().unwrap_or(Ok(5))?;
    println!(
        "| {count} networks | set MiB | grown MiB | read, parse s | load s | ratio | HashMap ns | question ns | ratio | through all of it ns |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, v6, reasons) in [
        ("IPv4, a hundred reasons", false, 100),
        ("IPv4, a reason each", false, u64::MAX),
        ("IPv6, a hundred reasons", true, 100),
        ("IPv6, a reason each", true, u64::MAX),
    ] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("list");
        let mut numbers = Numbers(88_172_645_463_325_252);
        let mut text = String::new();
        let mut listed = Vec::with_capacity(count);
        for at in 0..count as u64 {
            let network = network(&mut numbers, v6);
            listed.push(network.address());
            writeln!(text, "{network} until 2027-0{}-01 ; SBL{}", 1 + at % 9, 100_000 + at % reasons)?;
        }
        std::fs::write(&file, &text)?;
        drop(text);
        let questions: Vec<IpAddr> =
            (0..QUESTIONS)
                .map(|at| {
                    if at % 2 == 0 {
                        listed[(numbers.next() % count as u64) as usize]
                    } else {
                        network(&mut numbers, v6).address()
                    }
                })
                .collect();
        let settings = || FileSettings {
            lists: vec![ListSettings {
                file: file.clone(),
                format: Format::Text,
                of: None,
                action: Action::Block,
                mode: Mode::Enforce,
                listeners: vec![ListenerKind::Mx],
            }],
            asns: None,
            countries: None,
            entries_max: usize::MAX,
        };
        let (mut parse, mut load, mut plain, mut set, mut whole) = (vec![], vec![], vec![], vec![], vec![]);
        let before = resident();
        let store = Store::open(folder.path())?;
        let lists = Lists::open(&store)?;
        lists.put(Files::read(settings())?);
        let grown = resident() - before;
        let bytes = lists.summary().iter().map(|list| list.bytes).sum::<usize>();
        let map: HashMap<IpAddr, u32> = listed.iter().copied().zip(0..).collect();
        for _ in 0..rounds {
            parse.push(seconds(|| {
                let bytes = std::fs::read(&file).expect("the file");
                let mut entries = 0;
                list::read(Format::Text, None, &bytes, |entry| {
                    black_box(&entry);
                    entries += 1;
                })
                .expect("a list");
                assert_eq!(entries, count);
            }));
            load.push(seconds(|| drop(black_box(Files::read(settings()).expect("a list")))));
            let files = Files::read(settings())?;
            let one = &files.lists()[0].set;
            plain.push(seconds(|| {
                let found = questions.iter().filter(|address| black_box(map.get(*address)).is_some()).count();
                assert!(found >= QUESTIONS / 2);
            }));
            set.push(seconds(|| {
                let found = questions
                    .iter()
                    .filter(|address| black_box(one.find(**address, NOW).map(|found| found.action)).is_some())
                    .count();
                // A ninth of them has ended.
                assert!(found >= QUESTIONS * 2 / 5);
            }));
            whole.push(seconds(|| {
                let found = questions.iter().filter(|address| !lists.listed(**address, ListenerKind::Mx, NOW).is_empty()).count();
                // A ninth of them has ended.
                assert!(found >= QUESTIONS * 2 / 5);
            }));
        }
        let nanos = |of: Vec<f64>| median(of) * 1e9 / QUESTIONS as f64;
        let (parse, load, plain, set, whole) = (median(parse), median(load), nanos(plain), nanos(set), nanos(whole));
        println!(
            "| {name} | {:.1} | {grown:.1} | {parse:.3} | {load:.3} | {:.2} | {plain:.0} | {set:.0} | {:.2} | {whole:.0} |",
            bytes as f64 / 1024.0 / 1024.0,
            load / parse,
            set / plain,
        );
    }
    names(count, rounds)
}

/// A domain of a million, of a length as such lists have them.
fn domain(number: u64) -> String {
    let mut mixed = Numbers(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let letters = 6 + mixed.next() % 12;
    let label: String = (0..letters).map(|_| char::from(b'a' + (mixed.next() % 26) as u8)).collect();
    format!("{label}{number}.test")
}

fn names(count: usize, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "\n| {count} names | octets of a name | set MiB | octets an entry | grown MiB | read, parse s | load s | HashSet ns | sender ns |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (title, reasons) in [("a hundred reasons", 100), ("a reason each", u64::MAX)] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("list");
        let (mut text, mut octets) = (String::new(), 0);
        for at in 0..count as u64 {
            let name = domain(at);
            octets += name.len() + 1;
            writeln!(text, ".{name} until 2027-0{}-01 ; SBL{}", 1 + at % 9, 100_000 + at % reasons)?;
        }
        std::fs::write(&file, &text)?;
        drop(text);
        let settings = || FileSettings {
            lists: vec![ListSettings {
                file: file.clone(),
                format: Format::Text,
                of: Some(NameKind::Domain),
                action: Action::Block,
                mode: Mode::Enforce,
                listeners: vec![ListenerKind::Mx],
            }],
            asns: None,
            countries: None,
            entries_max: usize::MAX,
        };
        let before = resident();
        let files = Files::read(settings())?;
        let (grown, one) = (resident() - before, &files.lists()[0].set);
        let mut numbers = Numbers(88_172_645_463_325_252);
        // Every second one is listed.
        let questions: Vec<AskedName> = (0..QUESTIONS / 10)
            .map(|_| {
                let text = format!("somebody@mail.{}", domain(numbers.next() % (2 * count as u64)));
                AskedName::address(NameKind::Sender, &Mailbox::parse(&text).expect("an address"))
            })
            .collect();
        let hashed: HashSet<String> = (0..count as u64).map(domain).collect();
        let plain: Vec<String> = (0..QUESTIONS / 10).map(|_| domain(numbers.next() % (2 * count as u64))).collect();
        let (mut parse, mut load, mut simple, mut asked) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            parse.push(seconds(|| {
                let bytes = std::fs::read(&file).expect("the file");
                list::read(Format::Text, Some(NameKind::Domain), &bytes, |entry| drop(black_box(entry))).expect("a list");
            }));
            load.push(seconds(|| drop(black_box(Files::read(settings()).expect("a list")))));
            simple.push(seconds(|| {
                let found = plain.iter().filter(|name| black_box(hashed.contains(*name))).count();
                assert!(found >= QUESTIONS / 25);
            }));
            asked.push(seconds(|| {
                let found = questions.iter().filter(|name| black_box(one.find_name(name, NOW)).is_some()).count();
                assert!(found >= QUESTIONS / 25);
            }));
        }
        let nanos = |of: Vec<f64>| median(of) * 1e10 / QUESTIONS as f64;
        println!(
            "| {title} | {:.1} | {:.1} | {:.1} | {grown:.1} | {:.3} | {:.3} | {:.0} | {:.0} |",
            octets as f64 / count as f64,
            one.bytes() as f64 / 1024.0 / 1024.0,
            one.bytes() as f64 / count as f64,
            median(parse),
            median(load),
            nanos(simple),
            nanos(asked),
        );
    }
    Ok(())
}
