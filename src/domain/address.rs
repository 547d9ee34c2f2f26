//! Which addresses are public: what the registries of special purposes leave over.
//!
//! Whoever submits a review names an address that we call. It must not be a way into the network that we stand in, so
//! everything is refused that is not known to be somebody's on the open internet. The tables follow the registries of
//! IANA for IPv4 and IPv6; of IPv6 only what is handed out for global use can be public at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, what: &'static str) -> (Ipv4Net, &'static str) {
    (Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), what)
}

const fn v6(first: [u16; 8], prefix: u8, what: &'static str) -> (Ipv6Net, &'static str) {
    let [a, b, c, d, e, f, g, h] = first;
    let address = Ipv6Addr::new(a, b, c, d, e, f, g, h);
    (Ipv6Net::new_assert(address, prefix), what)
}

/// Blocks of IPv4 that are not public. The first that fits names the address.
const SPECIAL_V4: [(Ipv4Net, &str); 17] = [
    v4(0, 0, 0, 0, 8, "unspecified"),
    v4(10, 0, 0, 0, 8, "private"),
    v4(100, 64, 0, 0, 10, "shared by a carrier's customers"),
    v4(127, 0, 0, 0, 8, "loopback"),
    // Clouds answer with a machine's credentials at 169.254.169.254.
    v4(169, 254, 0, 0, 16, "link-local"),
    v4(172, 16, 0, 0, 12, "private"),
    v4(192, 0, 0, 0, 24, "reserved for protocols"),
    v4(192, 0, 2, 0, 24, "for documentation"),
    v4(192, 88, 99, 0, 24, "a relay to IPv6"),
    v4(192, 168, 0, 0, 16, "private"),
    v4(198, 18, 0, 0, 15, "for measurements"),
    v4(198, 51, 100, 0, 24, "for documentation"),
    v4(203, 0, 113, 0, 24, "for documentation"),
    // Looks public, and is Azure's own on each of its machines.
    v4(168, 63, 129, 16, 32, "a cloud's own"),
    v4(224, 0, 0, 0, 4, "multicast"),
    v4(255, 255, 255, 255, 32, "broadcast"),
    v4(240, 0, 0, 0, 4, "reserved"),
];

/// What is handed out for global use; all else in IPv6 is special or nobody's yet.
const GLOBAL_V6: (Ipv6Net, &str) = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, "global");

/// Blocks of IPv6 that are not public, those beyond [`GLOBAL_V6`] for their names only.
const SPECIAL_V6: [(Ipv6Net, &str); 14] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4 in IPv6"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "translated to IPv4"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "translated to IPv4"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "for discarding"),
    // Teredo, benchmarking and others: none of them is a server's.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved for protocols"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "for documentation"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "IPv4 in IPv6"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "for documentation"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// What an address is instead of public; nothing for one that is public.
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static str> {
    // An IPv4 address that is written as IPv6 is called as IPv4.
    match address.to_canonical() {
        IpAddr::V4(address) => SPECIAL_V4
            .iter()
            .find(|(block, _)| block.contains(&address))
            .map(|(_, what)| *what),
        IpAddr::V6(address) => SPECIAL_V6
            .iter()
            .find(|(block, _)| block.contains(&address))
            .map(|(_, what)| *what)
            .or_else(|| (!GLOBAL_V6.0.contains(&address)).then_some("not handed out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&'static str> {
        special(text.parse().expect(text))
    }

    #[test]
    fn every_class_that_is_not_public_is_known_at_both_of_its_ends() {
        for (ends, what) in [
            (["0.0.0.0", "0.255.255.255"], "unspecified"),
            (["10.0.0.0", "10.255.255.255"], "private"),
            (
                ["100.64.0.0", "100.127.255.255"],
                "shared by a carrier's customers",
            ),
            (["127.0.0.1", "127.255.255.255"], "loopback"),
            (["169.254.0.0", "169.254.169.254"], "link-local"),
            (["172.16.0.0", "172.31.255.255"], "private"),
            (["192.0.0.0", "192.0.0.255"], "reserved for protocols"),
            (["192.0.2.0", "192.0.2.255"], "for documentation"),
            (["192.88.99.0", "192.88.99.255"], "a relay to IPv6"),
            (["192.168.0.0", "192.168.255.255"], "private"),
            (["198.18.0.0", "198.19.255.255"], "for measurements"),
            (["198.51.100.0", "198.51.100.255"], "for documentation"),
            (["203.0.113.0", "203.0.113.255"], "for documentation"),
            (["168.63.129.16", "::ffff:168.63.129.16"], "a cloud's own"),
            (["224.0.0.0", "239.255.255.255"], "multicast"),
            (["240.0.0.0", "255.255.255.254"], "reserved"),
            (["255.255.255.255", "::ffff:255.255.255.255"], "broadcast"),
            (["::", "::"], "unspecified"),
            (["::1", "::1"], "loopback"),
            (["::2", "::7f00:1"], "IPv4 in IPv6"),
            (["64:ff9b::", "64:ff9b::a9fe:a9fe"], "translated to IPv4"),
            (["64:ff9b:1::", "64:ff9b:1:ffff::1"], "translated to IPv4"),
            (["100::", "100::ffff:ffff:ffff:ffff"], "for discarding"),
            (["2001::", "2001:1ff:ffff::"], "reserved for protocols"),
            (["2001:db8::", "2001:db8:ffff::1"], "for documentation"),
            (["2002::", "2002:7f00:1::"], "IPv4 in IPv6"),
            (["3fff::", "3fff:fff::1"], "for documentation"),
            (["fc00::", "fdff::1"], "unique-local"),
            (["fe80::", "febf::1"], "link-local"),
            (["fec0::", "feff::1"], "site-local"),
            (["ff00::", "ff02::1"], "multicast"),
            (["4000::", "5f00::1"], "not handed out"),
            (["::ffff:127.0.0.1", "::ffff:127.8.8.8"], "loopback"),
            (["::ffff:10.0.0.1", "::ffff:a00:1"], "private"),
            (["::ffff:169.254.169.254", "::ffff:a9fe:a9fe"], "link-local"),
        ] {
            for end in ends {
                assert_eq!(of(end), Some(what), "{end}");
            }
        }
    }

    #[test]
    fn what_lies_beside_them_is_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "168.63.129.17",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2003::1",
            "3ffe::1",
        ] {
            assert_eq!(of(public), None, "{public}");
        }
    }
}
