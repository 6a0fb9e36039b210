//! Whose network an address is in, and in which country, out of databases in the MMDB format.
//!
//! Promise: a database is checked as a whole before it is asked; one that is damaged is not taken, and one that has no answer gives none. The file is
//! read into memory and not mapped: whoever replaces it cannot change what is being read.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use maxminddb::{PathElement, Reader};
use postern_mail::Quoted;
use postern_mail::netset::Country;

/// The largest databases of countries and AS numbers have some tens of megabytes.
pub const DATABASE_BYTES_MAX: u64 = 256 << 20;

/// A file of it, checked.
pub(crate) type Database = Reader<Vec<u8>>;

/// The databases there are.
#[derive(Default)]
pub struct Geo {
    pub(crate) asns: Option<Arc<Database>>,
    pub(crate) countries: Option<Arc<Database>>,
}

impl Geo {
    /// True when AS numbers can be told.
    #[must_use]
    pub fn knows_asns(&self) -> bool {
        self.asns.is_some()
    }

    /// True when countries can be told.
    #[must_use]
    pub fn knows_countries(&self) -> bool {
        self.countries.is_some()
    }

    /// Whose network an address is in.
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        let found = self.asns.as_ref()?.lookup(address.to_canonical()).ok()?;
        found.decode_path(&[PathElement::Key("autonomous_system_number")]).ok()?
    }

    /// In which country an address is.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let found = self.countries.as_ref()?.lookup(address.to_canonical()).ok()?;
        let code: Option<&str> = found.decode_path(&[PathElement::Key("country"), PathElement::Key("iso_code")]).ok()?;
        Country::parse(code?)
    }
}

/// Reads and checks a database of AS numbers. Blocks on the disk.
///
/// # Errors
/// In words.
pub(crate) fn asns(path: &Path) -> Result<Database, String> {
    read(path, "AS numbers", "asn")
}

/// Reads and checks a database of countries. Blocks on the disk.
///
/// # Errors
/// In words.
pub(crate) fn countries(path: &Path) -> Result<Database, String> {
    read(path, "countries", "country")
}

fn read(path: &Path, what: &str, word: &str) -> Result<Database, String> {
    let name = path.display();
    let words = |error: String| format!("{name}: the database of {what}: {error}");
    let file = File::open(path).map_err(|error| words(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(DATABASE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| words(error.to_string()))?;
    if bytes.len() as u64 > DATABASE_BYTES_MAX {
        return Err(words(format!("it has more than {DATABASE_BYTES_MAX} octets")));
    }
    let database = Reader::from_source(bytes).map_err(|_| words("it is not in the MMDB format".to_owned()))?;
    let kind = database.metadata().database_type.clone();
    // GeoLite2-ASN, GeoIP2-ISP; GeoLite2-Country, DBIP-Country-Lite, and those of cities, which know the country too.
    let known = match word {
        "asn" => ["asn", "isp", "enterprise"].as_slice(),
        _ => &["country", "city", "enterprise"],
    };
    if !known.iter().any(|known| kind.to_lowercase().contains(known)) {
        return Err(words(format!("it is of the kind {}, which knows no {what}", Quoted::text(&kind))));
    }
    database.verify().map_err(|_| words("it is damaged".to_owned()))?;
    Ok(database)
}

#[cfg(test)]
pub(crate) mod tests;
