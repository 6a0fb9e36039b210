//! A filter in the kernel in front of a listening socket: a network that is banned and comes without end is not answered at all, so that turning it
//! away costs us nothing. Promise: packets of the networks it was given are dropped, and no others; where the kernel takes no filter, the door turns
//! them away as before. It needs no privilege, and there is one for each socket of ours and for nobody else.
//!
//! ```text
//! load a word of the source address; keep the bits of the prefix; compare; after the last word: drop
//! ...                                          (so for each network; whoever differs goes on to the next one)
//! let through
//! ```

use std::net::{IpAddr, TcpListener};

use postern_mail::client::Subnet;
use socket2::{SockFilter, SockRef};

/// Networks that are sieved at a time. Each costs a packet four steps of the filter, for IPv6 at most thirteen.
pub const SIEVED_MAX: usize = 32;

/// Load a word from there.
const LOAD: u16 = 0x20;
/// Keep these bits.
const AND: u16 = 0x54;
/// Go on where it is this, else jump.
const IS: u16 = 0x15;
/// End: with so many octets of the packet, 0 for none of it.
const END: u16 = 0x06;
/// Where the kernel has the head of IP, whatever the filter is attached to.
const IP: u32 = (-0x10_0000_i32).cast_unsigned();
const V4_SOURCE: u32 = IP + 12;
const V6_SOURCE: u32 = IP + 8;

/// The words of an address that a prefix says something of: where each stands, its bits, and what they are.
fn words(network: &Subnet) -> Vec<(u32, u32, u32)> {
    let (source, bits, length) = match network.address() {
        IpAddr::V4(v4) => (V4_SOURCE, u128::from(u32::from(v4)) << 96, 1),
        IpAddr::V6(v6) => (V6_SOURCE, u128::from(v6), 4_u32),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(network.prefix())).unwrap_or(0);
    let word = |of: u128, at: u32| u32::try_from((of >> (96 - 32 * at)) & u128::from(u32::MAX)).unwrap_or(0);
    (0..length).map(|at| (source + 4 * at, word(mask, at), word(bits, at))).filter(|(_, mask, _)| *mask != 0).collect()
}

/// Drops what comes from these networks, to a socket of this family.
fn program(networks: &[Subnet], is_ipv4: bool) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for network in networks.iter().filter(|network| network.address().is_ipv4() == is_ipv4).take(SIEVED_MAX) {
        let words = words(network);
        for (at, (place, mask, bits)) in words.iter().enumerate() {
            // Behind this comparison stand three steps for each word that is left, and the drop.
            let rest = u8::try_from(3 * (words.len() - at - 1) + 1).unwrap_or(u8::MAX);
            program.push(SockFilter::new(LOAD, 0, 0, *place));
            program.push(SockFilter::new(AND, 0, 0, *mask));
            program.push(SockFilter::new(IS, 0, rest, *bits));
        }
        program.push(SockFilter::new(END, 0, 0, 0));
    }
    program.push(SockFilter::new(END, 0, 0, u32::MAX));
    program
}

/// From now on, and until this is called again, these networks are not heard on this socket.
pub(crate) fn sieve(socket: &TcpListener, networks: &[Subnet]) {
    let Ok(address) = socket.local_addr() else { return };
    let socket = SockRef::from(socket);
    let result =
        if networks.is_empty() { socket.detach_filter() } else { socket.attach_filter(&program(networks, address.is_ipv4())) };
    if let Err(error) = result {
        tracing::debug!(%error, %address, "the kernel takes no filter; banned clients are turned away at the door");
    }
}

#[cfg(test)]
mod tests;
