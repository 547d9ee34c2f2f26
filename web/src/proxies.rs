//! The proxies in front of the producer, and what they say about who sent a request.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// How many proxies of ours stand in front, and which of those that name themselves are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proxies {
    /// So many last entries of `X-Forwarded-For` are theirs.
    pub count: usize,
    /// Whether a platform's own routers, which have private addresses, add themselves behind those.
    pub routers: Routers,
}

/// What a platform's routers do to `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routers {
    /// There are none, or they are counted as any proxy.
    #[default]
    Counted,
    /// Private addresses at the end are theirs and do not count. Nobody on the internet can have one of those.
    Private,
}

impl Proxies {
    /// The address that the outermost of them has seen; where the header is shorter, the outermost that it names.
    #[must_use]
    pub fn outermost(self, headers: &HeaderMap) -> Option<IpAddr> {
        if self.count == 0 {
            return None;
        }
        let mut entries: Vec<Option<IpAddr>> = headers
            .get_all("x-forwarded-for")
            .iter()
            // An entry that cannot be read is one all the same: without it all others would count as further in.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(read)
            .collect();
        if self.routers == Routers::Private {
            while entries.last().copied().flatten().is_some_and(is_private) {
                entries.pop();
            }
        }
        let first = entries.len().saturating_sub(self.count);
        entries.get(first..)?.iter().copied().flatten().next()
    }
}

/// An address, with or without a port.
fn read(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = || text.parse().ok();
    bare().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(proxies: Proxies, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().expect("a header value"));
        }
        proxies.outermost(&headers).map(|address| address.to_string())
    }

    fn counted(count: usize, values: &[&str]) -> Option<String> {
        let routers = Routers::Counted;
        seen(Proxies { count, routers }, values)
    }

    fn on_render(values: &[&str]) -> Option<String> {
        let (count, routers) = (2, Routers::Private);
        seen(Proxies { count, routers }, values)
    }

    #[test]
    fn what_the_outermost_has_seen_counts_and_nothing_left_of_it() {
        let header = ["1.1.1.1, 2.2.2.2", "3.3.3.3"];
        for (count, expected) in [
            (0, None),
            (1, Some("3.3.3.3")),
            (2, Some("2.2.2.2")),
            (3, Some("1.1.1.1")),
        ] {
            assert_eq!(counted(count, &header).as_deref(), expected, "{count}");
        }
    }

    #[test]
    fn a_header_that_is_shorter_gives_the_outermost_that_it_names() {
        assert_eq!(counted(7, &["1.1.1.1, 2.2.2.2"]).as_deref(), Some("1.1.1.1"));
        assert_eq!(counted(2, &["1.1.1.1"]).as_deref(), Some("1.1.1.1"));
        assert_eq!(counted(2, &[]), None);
    }

    #[test]
    fn an_entry_that_cannot_be_read_shifts_no_other() {
        for header in [
            "9.9.9.9, unknown, 2.2.2.2",
            "9.9.9.9,, 2.2.2.2",
            "9.9.9.9, _x, 2.2.2.2",
        ] {
            assert_eq!(counted(2, &[header]).as_deref(), Some("2.2.2.2"), "{header}");
        }
        for (header, expected) in [
            ("9.9.9.9, 1.1.1.1:4711, 2.2.2.2", "1.1.1.1"),
            ("9.9.9.9, [2001:db8::1]:4711, 2.2.2.2", "2001:db8::1"),
        ] {
            assert_eq!(counted(2, &[header]).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn on_render_the_client_stands_left_of_cloudflare_whether_the_router_names_itself_or_not() {
        for header in [
            "1.1.1.1, 172.70.247.28",
            "1.1.1.1, 172.70.247.28, 10.19.6.53",
            "2.2.2.2,1.1.1.1, 172.71.95.118, 10.19.64.237",
            "10.0.0.1, 1.1.1.1, 172.71.95.118, 10.19.64.237",
        ] {
            assert_eq!(on_render(&[header]).as_deref(), Some("1.1.1.1"), "{header}");
        }
        assert_eq!(on_render(&["1.1.1.1"]).as_deref(), Some("1.1.1.1"));
        assert_eq!(on_render(&["10.1.1.1"]), None);
    }

    #[test]
    fn where_routers_count_a_client_with_a_private_address_is_one() {
        assert_eq!(counted(1, &["8.8.8.8, 10.0.0.5"]).as_deref(), Some("10.0.0.5"));
    }
}
