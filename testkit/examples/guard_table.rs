//! Prints docs/GUARD.md. With names of stories and a seed as arguments: what the guard says in each of them.
#![expect(clippy::unwrap_used, reason = "a tool for tests")]

use postern_testkit::guard_sim::{play, scenarios::SCENARIOS, table};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => print!("{}", table::page(&table::all(&table::SEEDS))),
        [first, last] if first.parse::<u64>().is_ok() => {
            print!("{}", table::page(&table::all(&(first.parse().unwrap()..last.parse().unwrap()))));
        }
        [name, first, last] => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
            for seed in first.parse().unwrap()..last.parse().unwrap() {
                println!("{seed} {:?}", play(&(scenario.plan)(seed), seed, false));
            }
        }
        [name, seed] => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
            let seed = seed.parse().unwrap();
            println!("{:?}", play(&(scenario.plan)(seed), seed, true));
        }
        _ => println!("guard_table [FIRST LAST | STORY SEED]"),
    }
}
