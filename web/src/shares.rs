//! Shares of what there is only so much of: so much for one client, so much for all of them together.
//!
//! A share is given back when it is dropped. What is kept is one figure for each client that holds something, so nobody
//! fills the memory by coming under many names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is shared out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    each: usize,
    all: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_all: usize,
    by: HashMap<String, usize>,
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The client holds all that one may.
    Yours,
    /// All together hold all that there is.
    Everybodys,
}

/// What one client holds, until this is dropped.
#[derive(Debug)]
pub struct Share {
    of: Shares,
    client: String,
    amount: usize,
}

impl Shares {
    /// So much for each client, and so much for all.
    #[must_use]
    pub fn new(each: usize, all: usize) -> Self {
        Self(Arc::new(Pool {
            each,
            all,
            held: Mutex::default(),
        }))
    }

    /// A share that is empty, and may grow.
    #[must_use]
    pub fn nothing(&self, client: &str) -> Share {
        Share {
            of: self.clone(),
            client: client.to_owned(),
            amount: 0,
        }
    }

    /// A share of one.
    ///
    /// # Errors
    /// When there is none left, for this client or for anybody.
    pub fn one(&self, client: &str) -> Result<Share, Full> {
        let mut share = self.nothing(client);
        share.grow_to(1)?;
        Ok(share)
    }

    /// How much one client may hold.
    #[must_use]
    pub fn each(&self) -> usize {
        self.0.each
    }

    /// How much is held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lock().by_all
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Holds that much from now on; a share does not shrink by it.
    ///
    /// # Errors
    /// When there is not so much left; then it holds what it held.
    pub fn grow_to(&mut self, amount: usize) -> Result<(), Full> {
        let more = amount.saturating_sub(self.amount);
        if more == 0 {
            return Ok(());
        }
        let pool = &self.of.0;
        let mut held = self.of.lock();
        let mine = held.by.get(&self.client).copied().unwrap_or(0);
        if more > pool.each.saturating_sub(mine) {
            return Err(Full::Yours);
        }
        if more > pool.all.saturating_sub(held.by_all) {
            return Err(Full::Everybodys);
        }
        held.by_all += more;
        held.by.insert(self.client.clone(), mine + more);
        self.amount += more;
        Ok(())
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        let amount = std::mem::take(&mut self.amount);
        if amount == 0 {
            return;
        }
        let mut held = self.of.lock();
        held.by_all -= amount;
        if let Some(mine) = held.by.get_mut(&self.client) {
            *mine -= amount;
            if *mine == 0 {
                held.by.remove(&self.client);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_all_have_theirs_and_what_is_dropped_is_free_again() {
        let shares = Shares::new(2, 3);
        let ada = [shares.one("ada"), shares.one("ada")];
        assert!(ada.iter().all(Result::is_ok));
        assert_eq!(shares.one("ada").err(), Some(Full::Yours));
        let bob = shares.one("bob").expect("there is one left");
        assert_eq!(shares.one("bob").err(), Some(Full::Everybodys));
        drop(ada);
        assert_eq!(shares.held(), 1);
        assert!(shares.one("bob").is_ok());
        drop(bob);
        assert_eq!((shares.held(), shares.lock().by.len()), (0, 0));
    }

    #[test]
    fn a_share_grows_while_there_is_room_and_holds_what_it_held_when_there_is_none() {
        let shares = Shares::new(10, 15);
        let (mut ada, mut bob) = (shares.nothing("ada"), shares.nothing("bob"));
        assert_eq!((ada.grow_to(4), ada.grow_to(10)), (Ok(()), Ok(())));
        assert_eq!(ada.grow_to(11), Err(Full::Yours));
        assert_eq!(bob.grow_to(6), Err(Full::Everybodys));
        assert_eq!((bob.grow_to(5), shares.held()), (Ok(()), 15));
        ada.give_back();
        assert_eq!(
            (bob.grow_to(10), ada.grow_to(5), shares.held()),
            (Ok(()), Ok(()), 15)
        );
    }
}
