//! Names of receivers, looked up by us and checked before anything is called.
//!
//! The client connects to the addresses that this answers and asks nobody again, so what was checked is what is called:
//! a name that changes its mind between the check and the call changes nothing. Each delivery looks its name up anew
//! and checks anew.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use millstream::domain::CallbackReach;
use millstream::domain::address::special;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// More addresses than any receiver has; what stands behind them is not called.
const MOST_ADDRESSES: usize = 16;

/// Tells which addresses a name stands for.
pub trait Lookup: Send + Sync + 'static {
    /// Asks for them.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's own way: its hosts file and its resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// A name that must not be called: somewhere among its addresses is one that is not public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name leads to {address}, which is {what}")]
pub struct NotPublic {
    /// The address.
    pub address: IpAddr,
    /// What it is instead.
    pub what: &'static str,
}

/// Looks names up, and answers those only whose addresses may all be called.
pub struct Checked {
    lookup: Arc<dyn Lookup>,
    reach: CallbackReach,
}

impl Checked {
    /// Checks what a lookup answers.
    pub fn new(lookup: impl Lookup, reach: CallbackReach) -> Self {
        let lookup = Arc::new(lookup);
        Self { lookup, reach }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (asked, reach) = (self.lookup.lookup(name.as_str().to_owned()), self.reach);
        async move {
            let found = asked.await?;
            check(&found, reach)?;
            // The client puts the port of the address in the place of this one.
            let addresses = found.into_iter().take(MOST_ADDRESSES);
            let addresses: Vec<SocketAddr> = addresses.map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}

/// All of them are looked at: one that is not public among public ones is somebody's trick.
fn check(found: &[IpAddr], reach: CallbackReach) -> Result<(), NotPublic> {
    if reach == CallbackReach::Anywhere {
        return Ok(());
    }
    let wrong = found
        .iter()
        .find_map(|address| Some((*address, special(*address)?)));
    wrong.map_or(Ok(()), |(address, what)| Err(NotPublic { address, what }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(addresses: &[&str], reach: CallbackReach) -> Result<(), NotPublic> {
        let found: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect(text)).collect();
        check(&found, reach)
    }

    #[test]
    fn one_address_that_is_not_public_spoils_all() {
        assert_eq!(
            checked(&["1.1.1.1", "2606:4700::1111"], CallbackReach::Public),
            Ok(())
        );
        for wrong in [
            "127.0.0.1",
            "::1",
            "10.0.0.7",
            "::ffff:169.254.169.254",
            "fd00::1",
        ] {
            let refused = checked(&["1.1.1.1", wrong], CallbackReach::Public).expect_err(wrong);
            assert_eq!(refused.address.to_string(), wrong);
            assert_eq!(checked(&[wrong], CallbackReach::Anywhere), Ok(()));
        }
    }
}
