//! This machine's own addresses.

use std::{io, net::IpAddr};

use crate::auth::visit::Interface;

/// This machine's addresses with the networks they are in.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let own = if_addrs::get_if_addrs()?.into_iter().map(|own| match own.addr {
        if_addrs::IfAddr::V4(v4) => Interface { address: IpAddr::V4(v4.ip), mask: IpAddr::V4(v4.netmask) },
        if_addrs::IfAddr::V6(v6) => Interface { address: IpAddr::V6(v6.ip), mask: IpAddr::V6(v6.netmask) },
    });
    Ok(own.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_one_of_them() {
        let own = interfaces().unwrap();
        let loopback = own.iter().find(|one| one.address == IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!(loopback.mask, IpAddr::from([255, 0, 0, 0]));
    }
}
