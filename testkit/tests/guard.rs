//! The guard of accounts against simulated owners and thieves: what docs/GUARD.md says, held to.

use postern_testkit::guard_sim::table;

#[test]
fn in_every_theft_at_most_fifty_are_reached_before_the_hold_and_of_a_thousand_honest_messages_at_most_one_is_held() {
    let rows = table::all(&table::SEEDS);
    println!("seeds {:?}", table::SEEDS);
    let broken: Vec<&str> = rows.iter().filter(|row| !row.keeps_its_promise()).map(|row| row.scenario.name).collect();
    let page = table::page(&rows);
    assert!(broken.is_empty(), "{broken:?}\n{page}");
    let thefts = rows.iter().filter(|row| row.scenario.is_theft).count();
    assert!(thefts >= 6 && rows.len() - thefts >= 6 && table::SEEDS.count() >= 20);
    let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/GUARD.md")).unwrap();
    assert!(written == page, "docs/GUARD.md is not what the simulator says; run: cargo xtask guard-table\n{page}");
}
