//! What may be wanted of a service that is there: another plan, release, maintenance window, hour of its bases.
//!
//! Always: it is in the database before the answer, and the keeper does it; nothing is done here.

use super::{Desk, no_plan};
use crate::config;
use crate::console::Error;
use crate::console::catalog::Release;
use crate::console::model::{Wanted, Window};

impl Desk {
    /// Gives a service another plan, while it serves: its nodes follow one by one.
    ///
    /// # Errors
    /// Where there is no such plan, or what it holds does not fit.
    pub fn change_plan(&self, id: &str, plan: &str) -> Result<(), Error> {
        let service = self.changing(id)?;
        let Some(new) = self.console.catalog.plan(plan) else {
            return Err(no_plan(&self.console, plan));
        };
        if service.wanted == Wanted::Gone {
            return Err(Error::Conflict(format!(
                "{} is being deleted",
                service.name
            )));
        }
        if (service.plan.as_str(), service.memory_mib) == (plan, new.memory_mib) {
            return Ok(());
        }
        let seen = self.console.overview(id)?;
        let used = seen.nodes.iter().map(|n| n.used_memory).max().unwrap_or(0);
        let fits = config::maxmemory(new.memory_mib.into(), config::MAXMEMORY_PERCENT);
        if used > fits {
            return Err(Error::Conflict(format!(
                "it holds {} MiB and the plan {} has room for {}: delete something first",
                used >> 20,
                new.name,
                fits >> 20
            )));
        }
        self.console.store.set_plan(id, plan, new.memory_mib)?;
        let text = format!(
            "from {} to {plan} with {} MiB",
            service.plan, new.memory_mib
        );
        self.note(Some(id), "plan", &text);
        self.console.board.ring(id);
        Ok(())
    }

    /// Brings a service to a release, node by node while it serves: now, or in its maintenance window.
    ///
    /// # Errors
    /// Where there is no such release.
    pub fn upgrade(&self, id: &str, release: &str, now: bool) -> Result<(), Error> {
        let service = self.changing(id)?;
        let place = self.console.provider.place(id)?;
        let containers = self
            .console
            .catalog
            .has_containers(&service, place.as_ref());
        let has = |r: &&Release| r.is_for(containers);
        let found = self.console.catalog.release(release);
        if found.filter(has).is_none() {
            let all = self.console.catalog.releases.iter().filter(has);
            let all: Vec<_> = all.map(|r| r.id.as_str()).collect();
            return Err(Error::Invalid(format!(
                "there is no release {release:?}; it is one of {}",
                all.join(", ")
            )));
        }
        if service.wanted == Wanted::Gone {
            return Err(Error::Conflict(format!(
                "{} is being deleted",
                service.name
            )));
        }
        let waits = &service.next_release;
        if service.release == release && (now || waits.is_empty()) {
            if !waits.is_empty() {
                self.console.store.set_release(id, release, true)?;
                self.note(Some(id), "upgrade", &format!("{waits} waits no more"));
                self.console.board.ring(id);
            }
            return Ok(());
        }
        let next = match service.release == release {
            // What it has already needs no window.
            true => "",
            false => release,
        };
        match now {
            true => self.console.store.set_release(id, release, true)?,
            false => self.console.store.set_release(id, next, false)?,
        }
        let text = match now {
            true => format!("from {} to {release}", service.release),
            false if next.is_empty() => format!("{waits} waits no more"),
            false => format!("to {release}, from {} on", service.window.text()),
        };
        self.note(Some(id), "upgrade", &text);
        self.console.board.ring(id);
        Ok(())
    }

    /// Gives a service another maintenance window.
    ///
    /// # Errors
    /// Where it is no hour of a day.
    pub fn set_window(&self, id: &str, window: Window) -> Result<(), Error> {
        let service = self.changing(id)?;
        if window.hour > 23 {
            return Err(Error::Invalid(format!(
                "{} is no hour: it is 0 to 23, UTC",
                window.hour
            )));
        }
        if service.window != window {
            self.console.store.set_window(id, window)?;
            let text = format!("its maintenance window is {}", window.text());
            self.note(Some(id), "upgrade", &text);
            self.console.board.ring(id);
        }
        Ok(())
    }

    /// Has a service's bases taken in that hour of the day, UTC.
    ///
    /// # Errors
    /// Where it is no hour.
    pub fn set_backup_hour(&self, id: &str, hour: u8) -> Result<(), Error> {
        let service = self.changing(id)?;
        if hour > 23 {
            return Err(Error::Invalid(format!(
                "{hour} is no hour: it is 0 to 23, UTC"
            )));
        }
        if service.backup_hour != Some(hour) {
            self.console.store.set_backup_hour(id, hour)?;
            let text = format!("a base is taken each day after {hour:02}:00 UTC");
            self.note(Some(id), "backup", &text);
            self.console.board.ring(id);
        }
        Ok(())
    }
}
