//! The addresses of this machine, as far as the kernel tells. Promise: memory for them alone, however long the kernel's tables are.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::net::IpAddr;

/// All that the kernel lists in `/proc`. What cannot be read is not known.
pub(crate) fn of_machine() -> Vec<IpAddr> {
    let v4 = lines("/proc/self/net/fib_trie").map(of_routes).unwrap_or_default();
    let v6 = lines("/proc/self/net/if_inet6").map(of_interfaces).unwrap_or_default();
    v4.into_iter().chain(v6).collect()
}

fn lines(path: &str) -> Option<Lines<impl BufRead>> {
    Some(BufReader::new(File::open(path).ok()?).lines())
}

/// IPv4 addresses of ours in `fib_trie`: a line with the address, and below it `/32 host LOCAL`. On a router it has a line for each route.
fn of_routes(lines: Lines<impl BufRead>) -> Vec<IpAddr> {
    let mut above = String::new();
    let mut found = Vec::new();
    for line in lines.map_while(Result::ok) {
        if line.trim() == "/32 host LOCAL" {
            found.extend(above.trim().strip_prefix("|-- ").and_then(|address| address.parse::<IpAddr>().ok()));
        }
        above = line;
    }
    found
}

/// IPv6 addresses of ours in `if_inet6`: 32 hexadecimal digits begin each line.
fn of_interfaces(lines: Lines<impl BufRead>) -> Vec<IpAddr> {
    let address = |line: String| {
        let digits = line.split_ascii_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(bits.into()))
    };
    lines.map_while(Result::ok).filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_read_as_the_kernel_prints_them() {
        let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.0\n        /8 host LOCAL\n           |-- 192.0.2.0\n              /24 link UNICAST\n           \
                      |-- 192.0.2.2\n              /32 host LOCAL\n        |-- 192.0.2.255\n           /32 link BROADCAST\n";
        assert_eq!(of_routes(routes.as_bytes().lines()), ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        let interfaces = "20010db8000000000000000000000002 04 40 00 82     eth0\nnonsense\n";
        assert_eq!(of_interfaces(interfaces.as_bytes().lines()), ["2001:db8::2".parse::<IpAddr>().unwrap()]);
    }
}
