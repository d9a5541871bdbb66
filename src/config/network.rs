//! Networks: ranges of IP addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use toml::de::DeValue;

use super::value::{Context, Fault, Value, quoted};

/// A range of IP addresses, `10.0.0.0/8`; one address alone is a range, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(ipnet::IpNet);

impl Network {
    /// Whether the address is in it. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from));
        let network: ipnet::IpNet = network
            .map_err(|_| format!("`{text}` is no network: expected 10.0.0.0/8, fd00::/8 or an address"))?;
        if network.trunc() != network {
            let meant = network.trunc();
            return Err(format!("`{text}` has bits set that its length leaves out: write {meant}"));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value for Network {
    fn kind() -> String {
        "network".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("a network like \"10.0.0.0/8\"", value))?;
        text.parse().map_err(|what: String| Fault::new(what))
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("fd00::/8", "fd00::1", "fe00::1"),
            ("0.0.0.0/0", "1.2.3.4", "::2"),
        ] {
            let network: Network = text.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "db1", "10.0.0"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
