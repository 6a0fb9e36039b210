//! Databases made for the test: what they answer, and which are not taken.

use postern_testkit::mmdb::{Record, database};

use super::*;

fn written(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open(asns_file: Option<&Path>, countries_file: Option<&Path>) -> Result<Geo, String> {
    let asns = asns_file.map(asns).transpose()?.map(Arc::new);
    let countries = countries_file.map(countries).transpose()?.map(Arc::new);
    Ok(Geo { asns, countries })
}

#[test]
fn as_numbers_and_countries_are_told_for_both_families_and_the_narrower_network_first() {
    let folder = tempfile::tempdir().unwrap();
    let asns = [
        ("192.0.0.0/16", Record::Asn(64_500)),
        ("192.0.2.0/24", Record::Asn(64_501)),
        ("2001:db8::/32", Record::Asn(4_200_000_000)),
    ];
    let asns = written(folder.path(), "asn", &database("GeoLite2-ASN", &asns));
    let countries = [("192.0.2.0/24", Record::Country("DE")), ("2001:db8::/32", Record::Country("at"))];
    let countries = written(folder.path(), "country", &database("DBIP-Country-Lite", &countries));
    let geo = open(Some(&asns), Some(&countries)).unwrap();
    let told = |address: &str| {
        let address = address.parse().unwrap();
        (geo.asn(address), geo.country(address).map(|country| country.to_string()))
    };
    assert_eq!(told("192.0.2.9"), (Some(64_501), Some("DE".to_owned())));
    assert_eq!(told("::ffff:192.0.2.9"), (Some(64_501), Some("DE".to_owned())));
    assert_eq!(told("192.0.3.9"), (Some(64_500), None));
    assert_eq!(told("2001:db8::1"), (Some(4_200_000_000), Some("AT".to_owned())));
    assert_eq!(told("203.0.113.1"), (None, None));
    assert_eq!(Geo::default().asn("192.0.2.9".parse().unwrap()), None);
}

#[test]
fn a_database_that_is_missing_damaged_or_of_another_kind_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let whole = database("GeoLite2-ASN", &[("192.0.2.0/24", Record::Asn(1))]);
    let asns = written(folder.path(), "asn", &whole);
    let told = |asns: Option<&Path>, countries: Option<&Path>| open(asns, countries).err().unwrap();
    assert!(told(Some(&folder.path().join("none")), Some(&asns)).contains("none: the database of AS numbers"));
    assert!(told(None, Some(&asns)).contains("knows no countries"));
    let text = written(folder.path(), "text", b"192.0.2.0/24 AS1");
    assert!(open(Some(&text), None).err().unwrap().contains("not in the MMDB format"));
    // Whatever octet is broken: it is refused, or what is left of it answers something or nothing.
    for place in 0..whole.len() {
        let mut broken = whole.clone();
        broken[place] ^= 0xff;
        let broken = written(folder.path(), "broken", &broken);
        if let Ok(geo) = open(Some(&broken), None) {
            let _ = geo.asn("192.0.2.9".parse().unwrap());
        }
    }
}
