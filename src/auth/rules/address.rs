//! Which addresses a rule is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::auth::visit::Interface;

/// Which addresses a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// Every one.
    All,
    /// This machine's own.
    SameHost,
    /// Those of the networks this machine is in.
    SameNet,
    /// Those that are like `base` where `mask` has ones.
    Like { base: IpAddr, mask: IpAddr },
}

impl Addresses {
    /// `address/length`.
    pub(super) fn cidr(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').unwrap_or((text, ""));
        let base: IpAddr = address.parse().map_err(|_| format!("invalid IP address \"{address}\""))?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let length: u32 = length
            .parse()
            .ok()
            .filter(|length| *length <= bits)
            .ok_or_else(|| format!("invalid CIDR mask in address \"{text}\""))?;
        Ok(Self::Like { base, mask: mask(base, length) })
    }

    /// An address and a mask beside it.
    pub(super) fn masked(base: IpAddr, mask: &str) -> Result<Self, String> {
        let mask: IpAddr = mask.parse().map_err(|_| format!("invalid IP mask \"{mask}\""))?;
        if base.is_ipv4() == mask.is_ipv4() {
            Ok(Self::Like { base, mask })
        } else {
            Err("IP address and mask do not match".to_owned())
        }
    }

    /// Whether this machine's own addresses must be known.
    pub(super) const fn needs_interfaces(self) -> bool {
        matches!(self, Self::SameHost | Self::SameNet)
    }

    /// Whether it is one of them; `address` is canonical.
    pub(super) fn contains(self, address: IpAddr, interfaces: &[Interface]) -> bool {
        match self {
            Self::All => true,
            Self::Like { base, mask } => is_like(address, base, mask),
            Self::SameHost => interfaces.iter().any(|own| own.address.to_canonical() == address),
            Self::SameNet => interfaces.iter().any(|own| is_like(address, own.address, own.mask)),
        }
    }
}

fn is_like(address: IpAddr, base: IpAddr, mask: IpAddr) -> bool {
    match (address, base, mask) {
        (IpAddr::V4(address), IpAddr::V4(base), IpAddr::V4(mask)) => {
            (address.to_bits() ^ base.to_bits()) & mask.to_bits() == 0
        }
        (IpAddr::V6(address), IpAddr::V6(base), IpAddr::V6(mask)) => {
            (address.to_bits() ^ base.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    }
}

/// The mask with so many ones in front, of the same family as `base`.
fn mask(base: IpAddr, length: u32) -> IpAddr {
    if base.is_ipv4() {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()
    } else {
        Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()
    }
}
