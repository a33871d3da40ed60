//! RocksDB as the store uses it: how it is tuned, and the few things asked of it.
//!
//! Rows never pass through a memtable. A window is sorted here, written as one SST file, and ingested, which
//! puts it into the manifest in one step: what RocksDB holds is always exactly what some `Position` describes,
//! and is on disk once `write` returns. That costs a third of the processor time of batches and
//! flushes, and no memory for memtables.
//!
//! Universal compaction: rows are overwritten at random, are never looked up one by one, and are
//! read in whole once, so that runs may pile up; each row is rewritten rarely.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, DB, DBCompactionStyle, DBCompressionType, InfoLogger,
    IngestExternalFileOptions, LogLevel, ReadOptions, SstFileWriter, UniversalCompactOptions,
    WriteOptions, checkpoint::Checkpoint,
};

use super::base::{Base, Directory, OnRow};
use super::window::Window;
use super::{Error, Position, RowOp, live};
use crate::base::{limits, remains};

/// The version of the rows' layout in RocksDB.
pub const FORMAT: u8 = 1;
/// The row that holds [`FORMAT`].
const FORMAT_ROW: [u8; 2] = [crate::base::rows::RESERVED, b'f'];
/// The row that holds the position.
const POSITION_ROW: [u8; 2] = [crate::base::rows::RESERVED, b'p'];
/// The first key that can be a caller's.
pub const FIRST_ROW: [u8; 1] = [crate::base::rows::RESERVED + 1];

/// Runs that may gather before they are merged. More make writing cheaper, and loading and disk use dearer.
const RUNS_TO_MERGE: i32 = 12;
/// The data that newer runs may hold in percent of the oldest before all are merged into one.
const AMPLIFICATION_PERCENT: i32 = 150;
/// A merged run is split into files of this size, bytes.
const FILE_BYTES: u64 = 32 * 1024 * 1024;
/// What is read at once, bytes. Rows are only ever scanned.
const BLOCK_BYTES: usize = 16 * 1024;
/// Read ahead of each run while merging, bytes.
const MERGE_READAHEAD: usize = 256 * 1024;
/// Read ahead of each run while loading, bytes.
pub const LOAD_READAHEAD: usize = 512 * 1024;

/// An open RocksDB directory.
pub struct Db {
    db: DB,
    dir: PathBuf,
    options: rocksdb::Options,
    scratch: PathBuf,
    /// Its large files, by name: RocksDB removes those of a merge all at once.
    held: Mutex<HashMap<OsString, File>>,
}

impl Db {
    /// Fills the empty directory `dir` with a store without rows, durably.
    pub fn create(dir: &Path) -> Result<(), Error> {
        let mut options = options();
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        let db = DB::open(&options, dir).map_err(|e| Error::rocks(dir, &e))?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        db.put_opt(FORMAT_ROW, [FORMAT], &unlogged)
            .and_then(|()| db.flush())
            .map_err(|e| Error::rocks(dir, &e))
    }

    /// Opens `dir` for writing. Also the position that it holds, none if no window was ever written.
    pub fn open(dir: &Path) -> Result<(Self, Option<Position>), Error> {
        let options = options();
        check_present(dir)?;
        let db = DB::open(&options, dir).map_err(|e| Error::rocks(dir, &e))?;
        Self::checked(db, dir, options)
    }

    /// Opens `dir` without changing anything in it.
    fn open_read_only(dir: &Path) -> Result<(Self, Option<Position>), Error> {
        let mut options = options();
        // Opens each file at once, so that one which is missing or cut is found here.
        options.set_max_open_files(-1);
        check_present(dir)?;
        let db = DB::open_for_read_only(&options, dir, false).map_err(|e| Error::rocks(dir, &e))?;
        Self::checked(db, dir, options)
    }

    fn checked(
        db: DB,
        dir: &Path,
        options: rocksdb::Options,
    ) -> Result<(Self, Option<Position>), Error> {
        let get = |key| db.get(key).map_err(|e| Error::rocks(dir, &e));
        match get(FORMAT_ROW)?.as_deref() {
            Some([FORMAT]) => {}
            Some([found, ..]) => {
                return Err(Error::Format {
                    dir: dir.to_path_buf(),
                    found: *found,
                    expected: FORMAT,
                });
            }
            _ => return Err(Error::damage(dir, "it has no format row")),
        }
        let position = match get(POSITION_ROW)? {
            None => None,
            Some(bytes) => Some(Position::decode(&bytes).map_err(|what| Error::damage(dir, what))?),
        };
        let db = Self {
            db,
            dir: dir.to_path_buf(),
            options,
            // RocksDB ignores files that are not named as its own; the next window overwrites it.
            scratch: dir.join("window.next"),
            held: Mutex::default(),
        };
        Ok((db, position))
    }

    /// Opens `dir` as [`Self::open_read_only`]; it must hold a position.
    fn open_complete(dir: &Path) -> Result<(Self, Position), Error> {
        let (db, position) = Self::open_read_only(dir)?;
        let position = position.ok_or_else(|| Error::damage(dir, "it holds no position"))?;
        Ok((db, position))
    }

    /// Reads the whole of `dir` and checks every checksum of every file, also of rows that a newer one hides.
    pub fn verify(dir: &Path) -> Result<Position, Error> {
        let (db, position) = Self::open_complete(dir)?;
        let mut read = db.scan_options();
        // Deprecated since it no longer saves time; that it shows removed rows is what is wanted here.
        #[allow(deprecated)]
        read.set_ignore_range_deletions(true);
        let mut rows = db.db.raw_iterator_opt(read);
        rows.seek_to_first();
        while rows.valid() {
            rows.next();
        }
        rows.status().map_err(|e| Error::rocks(dir, &e))?;
        Ok(position)
    }

    fn write_rows(&self, window: &Window, at: &Position) -> Result<(), rocksdb::Error> {
        // RocksDB takes a run by a second link to it, and removes this name once it is in the manifest. A process that was killed
        // in between left both: to write over this name would write over the run.
        let _ = std::fs::remove_file(&self.scratch);
        let mut run = SstFileWriter::create(&self.options);
        run.open(&self.scratch)?;
        run.put(POSITION_ROW, at.encode())?;
        window.drain(|op| match op {
            RowOp::Put { key, value } => run.put(key, value),
            RowOp::Delete { key } => run.delete(key),
            // In a run this removes only what is in older runs, and may come in any order.
            RowOp::DeleteRange { from, to } => run.delete_range(from, to),
        })?;
        run.finish()?;
        drop(run);
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        // Memtables are always empty; if one were not, its rows would not be where the position says.
        ingest.set_allow_blocking_flush(false);
        self.db
            .ingest_external_file_opts(&ingest, vec![&self.scratch])
    }

    /// Opens the files that came and gives back those that were removed. Between two windows at most the result of one
    /// merge comes, and none goes that came after the window before.
    fn look_at_files(&self) {
        let held = &mut *self.held.lock();
        for (_, file) in held.extract_if(|_, file| remains::is_nameless(file)) {
            remains::give_back(file);
        }
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if held.len() < limits::REMAINS_MAX
                && Path::new(&name).extension().is_some_and(|e| e == "sst")
                && !held.contains_key(&name)
                && let Some(file) = remains::hold(&entry.path())
            {
                held.insert(name, file);
            }
        }
    }

    /// How to read all rows: in long strides, past the cache, with checksums.
    fn scan_options(&self) -> ReadOptions {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        read.fill_cache(false);
        read.set_readahead_size(LOAD_READAHEAD);
        read
    }

    fn number(&self, property: &str) -> u64 {
        self.db
            .property_int_value(property)
            .ok()
            .flatten()
            .unwrap_or(0)
    }
}

/// RocksDB.
pub struct Rocks;

impl Base for Rocks {
    fn create(&self, dir: &Path) -> Result<(), Error> {
        Db::create(dir)
    }

    fn open(&self, dir: &Path) -> Result<(Arc<dyn Directory>, Option<Position>), Error> {
        let (db, position) = Db::open(dir)?;
        Ok((Arc::new(db), position))
    }

    fn position(&self, dir: &Path) -> Result<Position, Error> {
        Ok(Db::open_complete(dir)?.1)
    }

    fn verify(&self, dir: &Path) -> Result<Position, Error> {
        Db::verify(dir)
    }
}

impl Directory for Db {
    fn write(&self, window: &Window, at: &Position) -> Result<(), Error> {
        self.write_rows(window, at)
            .map_err(|e| Error::rocks(&self.dir, &e))?;
        self.look_at_files();
        Ok(())
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, on_row: &mut OnRow<'_>) -> Result<(), Error> {
        let mut read = self.scan_options();
        read.set_iterate_lower_bound(from);
        if let Some(to) = to {
            read.set_iterate_upper_bound(to);
        }
        let mut rows = self.db.raw_iterator_opt(read);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if !on_row(key, value).map_err(Error::Row)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|e| Error::rocks(&self.dir, &e))
    }

    /// A consistent copy in the new directory `to`, by hard links where `to` is on the same file system;
    /// on disk on return.
    fn checkpoint(&self, to: &Path) -> Result<(), Error> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(to))
            .map_err(|e| Error::rocks(to, &e))?;
        live::sync_tree(to)
    }

    /// The first keys of the files of the oldest runs: cuts that divide the rows into parts of
    /// about `FILE_BYTES`.
    fn cuts(&self) -> Result<Vec<Vec<u8>>, Error> {
        let files = self
            .db
            .live_files()
            .map_err(|e| Error::rocks(&self.dir, &e))?;
        let deepest = files.iter().map(|file| file.level).max().unwrap_or(0);
        let mut cuts: Vec<Vec<u8>> = files
            .into_iter()
            .filter(|file| file.level == deepest && deepest > 0)
            .filter_map(|file| file.start_key)
            .filter(|key| key.as_slice() > FIRST_ROW.as_slice())
            .collect();
        cuts.sort();
        Ok(cuts)
    }

    /// The directory.
    fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs that wait to be merged.
    fn runs(&self) -> u64 {
        self.number("rocksdb.num-files-at-level0")
    }

    /// Size of all live files, bytes.
    fn disk_bytes(&self) -> u64 {
        self.number("rocksdb.live-sst-files-size")
    }

    /// Whether so much of what the files hold was removed since that merging all of it frees room. `data` is what the
    /// rows stand for, bytes. Merges of their own come by what is added, so that after a great removal none may come.
    fn worth_merging(&self, data: u64) -> bool {
        let files = self.db.live_files().unwrap_or_default();
        let removed: u64 = files.iter().map(|file| file.num_deletions).sum();
        let rows: u64 = files.iter().map(|file| file.num_entries).sum();
        // One removal of a range can stand for any number of rows.
        removed * 4 > rows || (removed > 0 && self.disk_bytes() > 2 * data + FILE_BYTES)
    }

    /// Merges all runs into one without what was removed. Takes as much disk as it leaves until it is done. Blocks.
    fn merge_all(&self) {
        self.db.compact_range::<&[u8], &[u8]>(None, None);
    }

    /// Fails if merging in the background has failed: RocksDB then takes nothing more, and says so here only.
    fn health(&self) -> Result<(), Error> {
        self.look_at_files();
        match self.number("rocksdb.background-errors") {
            0 => Ok(()),
            count => Err(Error::Io {
                dir: self.dir.clone(),
                what: format!(
                    "{count} background merges failed (disk full, or a damaged file); see the log lines of the module rocksdb"
                ),
            }),
        }
    }

    /// Ends background work, so that closing does not wait for a long merge.
    fn cancel(&self) {
        self.db.cancel_all_background_work(true);
    }
}

/// RocksDB would take an empty directory for a new database.
fn check_present(dir: &Path) -> Result<(), Error> {
    if dir.join("CURRENT").is_file() {
        Ok(())
    } else {
        Err(Error::damage(dir, "the file CURRENT is missing"))
    }
}

fn options() -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_paranoid_checks(true);
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, report));

    options.set_compaction_style(DBCompactionStyle::Universal);
    let mut universal = UniversalCompactOptions::default();
    universal.set_max_size_amplification_percent(AMPLIFICATION_PERCENT);
    options.set_universal_compaction_options(&universal);
    options.set_level_zero_file_num_compaction_trigger(RUNS_TO_MERGE);
    // The writer itself waits for merges (`limits::STORE_RUNS_MAX`); RocksDB has nothing to slow down.
    options.set_level_zero_slowdown_writes_trigger(i32::MAX);
    options.set_level_zero_stop_writes_trigger(i32::MAX);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_hard_pending_compaction_bytes_limit(0);
    options.set_target_file_size_base(FILE_BYTES);
    options.set_compaction_readahead_size(MERGE_READAHEAD);
    options.set_max_background_jobs(2);
    options.set_max_subcompactions(1);

    // Only the oldest run is worth compressing: the others are soon rewritten.
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::Lz4);

    let mut table = BlockBasedOptions::default();
    table.set_block_size(BLOCK_BYTES);
    table.set_checksum_type(ChecksumType::XXH3);
    table.set_block_cache(&Cache::new_lru_cache(limits::STORE_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    options.set_block_based_table_factory(&table);

    // Memtables hold the format row once and then nothing.
    options.set_write_buffer_size(256 * 1024);
    // A few more are open for a moment while a run is written or merged.
    options.set_max_open_files(limits::STORE_OPEN_FILES_MAX as i32 - 128);
    // A checkpoint copies the manifest, which else would only ever grow.
    options.set_max_manifest_file_size(4 * 1024 * 1024);
    // Writes once in a while anyway; a merge should not leave a second's worth of dirty pages to one sync.
    options.set_bytes_per_sync(1024 * 1024);
    options.set_writable_file_max_buffer_size(256 * 1024);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // Hidden versions are read one after the other, never skipped by seeking: `verify` is to see them.
    options.set_max_sequential_skip_in_iterations(u64::MAX);
    options
}

fn report(level: LogLevel, text: &str) {
    let text = text.trim_end();
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{text}"),
        LogLevel::Warn => tracing::warn!(target: "rocksdb", "{text}"),
        _ => tracing::debug!(target: "rocksdb", "{text}"),
    }
}
