//! The machine with what it has compiled: scripts by their SHA-1, libraries as their table has them.
//!
//! **Invariant**: derived from the replicated tables; what it lacks or has too much is found by comparing with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;

use crate::base::limits::{LIBRARY_AGAIN_MAX, SCRIPTS_MAX};
use crate::command::Fail;
use crate::keyspace::System;
use crate::keyspace::system::Table;
use crate::script::{BAD_NAME, Marks, Registered, Script, Vm, is_name};

use super::Scripts;

/// A library of functions.
pub struct Library {
    /// As it was loaded, with its first line.
    pub code: Bytes,
    pub functions: Vec<Registered>,
}

/// A virtual machine and what it has compiled.
pub struct Machine {
    pub vm: Vm,
    scripts: HashMap<String, (Script, Option<Marks>)>,
    libraries: BTreeMap<Vec<u8>, Library>,
    /// Lower-case name of a function -> its library, and its place there.
    functions: HashMap<Vec<u8>, (Vec<u8>, usize)>,
    /// The version of the table that the libraries are of.
    version: u64,
}

impl Scripts {
    /// The machine, made now if it must be, with the libraries of the table.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn machine<R>(
        &self,
        kill: &Arc<AtomicBool>,
        system: &System,
        f: impl FnOnce(&mut Machine) -> R,
    ) -> Result<R, Fail> {
        let mut slot = self.machine.lock();
        let machine = match &mut *slot {
            Some(machine) => machine,
            slot => slot.insert(Machine::new(kill.clone())?),
        };
        machine.sync(system);
        let result = f(machine);
        self.memory.store(machine.vm.memory(), Relaxed);
        self.libraries.store(machine.libraries.len(), Relaxed);
        self.functions.store(machine.functions.len(), Relaxed);
        Ok(result)
    }

    /// Drops the machine: it is made anew when it is needed.
    pub fn forget_machine(&self) {
        *self.machine.lock() = None;
    }
}

impl Machine {
    fn new(kill: Arc<AtomicBool>) -> Result<Machine, Fail> {
        Ok(Machine {
            vm: Vm::new(kill).map_err(Fail::text)?,
            scripts: HashMap::new(),
            libraries: BTreeMap::new(),
            functions: HashMap::new(),
            version: 0,
        })
    }

    /// The script with that SHA-1 and body, compiled now or earlier, and what its first line declares.
    ///
    /// # Errors
    /// It cannot be compiled, or its first line not be understood.
    pub fn script(&mut self, sha: &str, body: &[u8]) -> Result<(Script, Option<Marks>), Fail> {
        if let Some(found) = self.scripts.get(sha) {
            return Ok(found.clone());
        }
        let (marks, skipped) = shebang(body)?;
        let script = self
            .vm
            .compile(&body[skipped..])
            .map_err(|e| Fail::text(format!("ERR Error compiling script (new function): {e}")))?;
        if self.scripts.len() >= SCRIPTS_MAX {
            self.scripts.clear();
        }
        self.scripts.insert(sha.to_owned(), (script.clone(), marks));
        Ok((script, marks))
    }

    /// Forgets all compiled scripts.
    pub fn forget_scripts(&mut self) {
        self.scripts.clear();
    }

    /// The libraries, by their names.
    pub fn libraries(&self) -> &BTreeMap<Vec<u8>, Library> {
        &self.libraries
    }

    /// A function, by its name in any case.
    pub fn function(&self, name: &[u8]) -> Option<&Registered> {
        let (library, at) = self.functions.get(&name.to_ascii_lowercase())?;
        self.libraries.get(library)?.functions.get(*at)
    }

    /// Loads a library, without making it known. `check` sees its name before its code runs, for `time` at most.
    ///
    /// # Errors
    /// What is wrong with its first line or its code, or what `check` says.
    pub fn load(
        &self,
        code: &[u8],
        time: Duration,
        check: impl FnOnce(&[u8]) -> Result<(), Fail>,
    ) -> Result<(Vec<u8>, Library), Fail> {
        let (name, skipped) = metadata(code)?;
        check(&name)?;
        let fail = |text: &str| Fail::text(format!("ERR {text}"));
        let functions = self
            .vm
            .load_library(&code[skipped..], time)
            .map_err(|e| fail(&e))?;
        if functions.is_empty() {
            return Err(fail("No functions registered"));
        }
        let code = Bytes::copy_from_slice(code);
        Ok((name, Library { code, functions }))
    }

    /// The function of a library that some other library, but for those in `gone`, has already.
    pub fn collision<'l>(
        &self,
        library: &'l Library,
        gone: impl Fn(&[u8]) -> bool,
    ) -> Option<&'l Registered> {
        library.functions.iter().find(|f| {
            let owner = self.functions.get(&f.name.to_ascii_lowercase());
            owner.is_some_and(|(library, _)| !gone(library))
        })
    }

    /// Brings the libraries to what the table has. One that cannot be loaded any more is left out, with a log line.
    fn sync(&mut self, system: &System) {
        let version = system.version(Table::Libraries);
        if version == self.version {
            return;
        }
        let mut known = std::mem::take(&mut self.libraries);
        for (name, code) in system.iter(Table::Libraries) {
            // Equal, as a rule, because it is the same: found without reading it.
            let same = |l: &Library| l.code.as_ptr() == code.as_ptr() && l.code.len() == code.len();
            let library = match known.remove(name).filter(same) {
                Some(library) => library,
                None => match self.load(code, LIBRARY_AGAIN_MAX, |_| Ok(())) {
                    Ok((_, library)) => Library {
                        code: code.clone(),
                        ..library
                    },
                    Err(e) => {
                        let name = String::from_utf8_lossy(name);
                        tracing::error!("the library {name} cannot be loaded: {}", e.as_str());
                        continue;
                    }
                },
            };
            self.libraries.insert(name.to_vec(), library);
        }
        self.index(version);
    }

    fn index(&mut self, version: u64) {
        self.version = version;
        self.functions.clear();
        for (name, library) in &self.libraries {
            for (at, f) in library.functions.iter().enumerate() {
                let function = f.name.to_ascii_lowercase();
                self.functions.insert(function, (name.clone(), at));
            }
        }
    }

    /// Takes over a library that was loaded here and is in the table now.
    pub fn adopt(&mut self, name: Vec<u8>, library: Library, system: &System) {
        if let Some(code) = system.get(Table::Libraries, &name) {
            let code = code.clone();
            self.libraries.insert(name, Library { code, ..library });
            self.index(system.version(Table::Libraries));
        }
    }
}

/// What the first line of a script declares, and how many bytes of it are no Lua.
///
/// # Errors
/// It begins with `#!` and cannot be understood.
pub fn shebang(body: &[u8]) -> Result<(Option<Marks>, usize), Fail> {
    if !body.starts_with(b"#!") {
        return Ok((None, 0));
    }
    let fail = |text: String| Err(Fail::text(format!("ERR {text}")));
    let Some(end) = body.iter().position(|&b| b == b'\n') else {
        return fail("Invalid script shebang".into());
    };
    let line = String::from_utf8_lossy(&body[..end]);
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or("");
    if engine != "#!lua" {
        return fail(format!("Unexpected engine in script shebang: {engine}"));
    }
    let mut marks = Marks::default();
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return fail(format!("Unknown lua shebang option: {word}"));
        };
        for flag in flags.split(',').filter(|_| !flags.is_empty()) {
            if !marks.add(flag) {
                return fail(format!("Unexpected flag in script shebang: {flag}"));
            }
        }
    }
    Ok((Some(marks), end))
}

/// The name that a library's first line gives it, and how many bytes of it are no Lua.
fn metadata(code: &[u8]) -> Result<(Vec<u8>, usize), Fail> {
    let fail = |text: String| Err(Fail::text(format!("ERR {text}")));
    if !code.starts_with(b"#!") {
        return fail("Missing library metadata".into());
    }
    let Some(end) = code.iter().position(|&b| b == b'\n') else {
        return fail("Invalid library metadata".into());
    };
    let line = String::from_utf8_lossy(&code[..end]).into_owned();
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or("").trim_start_matches("#!");
    let mut name: Option<&str> = None;
    for word in words {
        match word.get(..5) {
            Some(key) if key.eq_ignore_ascii_case("name=") => {
                if name.is_some() {
                    return fail(
                        "Invalid metadata value, name argument was given multiple times".into(),
                    );
                }
                name = Some(&word[5..]);
            }
            _ => return fail(format!("Invalid metadata value given: {word}")),
        }
    }
    let Some(name) = name else {
        return fail("Library name was not given".into());
    };
    let name = name
        .strip_prefix('"')
        .and_then(|n| n.strip_suffix('"'))
        .unwrap_or(name);
    if !is_name(name.as_bytes()) {
        return fail(BAD_NAME.into());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return fail(format!("Engine '{engine}' not found"));
    }
    Ok((name.as_bytes().to_vec(), end))
}
