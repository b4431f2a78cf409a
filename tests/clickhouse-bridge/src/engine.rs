//! The engine: eight functions of `libchdb.so`, as its header `chdb.h` declares them.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use libloading::{Library, Symbol};

type Connect = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut c_void;
type Query =
    unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> *mut c_void;
type Error = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type Buffer = unsafe extern "C" fn(*mut c_void) -> *const u8;
type Length = unsafe extern "C" fn(*mut c_void) -> usize;
type Destroy = unsafe extern "C" fn(*mut c_void);

/// The library, which stays loaded until the process ends.
#[derive(Clone, Copy)]
pub(crate) struct Engine {
    connect: Connect,
    functions: Functions,
}

#[derive(Clone, Copy)]
struct Functions {
    query: Query,
    error: Error,
    buffer: Buffer,
    length: Length,
    destroy: Destroy,
}

/// A connection, which runs one statement at a time.
pub(crate) struct Connection {
    functions: Functions,
    handle: *mut c_void,
    number: usize,
}

// SAFETY: a connection is used by one thread at a time, which is what the engine asks for; it is tied to
// no thread.
unsafe impl Send for Connection {}

/// A function of the library.
///
/// # Safety
/// It must be of this type.
unsafe fn function<T: Copy + 'static>(
    library: &'static Library,
    name: &str,
) -> Result<T, libloading::Error> {
    // SAFETY: as the caller says.
    let symbol: Symbol<'static, T> = unsafe { library.get(name) }?;
    Ok(*symbol)
}

impl Engine {
    pub(crate) fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: its initialisers run; that is what it is loaded for. It is never unloaded.
        let library: &'static Library = Box::leak(Box::new(unsafe { Library::new(path) }?));
        // SAFETY: the types are those of `chdb.h`.
        unsafe {
            Ok(Self {
                connect: function(library, "chdb_connect")?,
                functions: Functions {
                    query: function(library, "chdb_query_n")?,
                    error: function(library, "chdb_result_error")?,
                    buffer: function(library, "chdb_result_buffer")?,
                    length: function(library, "chdb_result_length")?,
                    destroy: function(library, "chdb_destroy_query_result")?,
                },
            })
        }
    }

    /// A connection to what lies in a folder.
    pub(crate) fn connect(self, folder: &str) -> Result<Connection, Box<dyn std::error::Error>> {
        static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let arguments = [CString::new("clickhouse")?, CString::new(format!("--path={folder}"))?];
        let mut pointers = arguments.map(CString::into_raw);
        // SAFETY: two texts that end with a zero and are never freed, as many as is said.
        let connection = unsafe { (self.connect)(2, pointers.as_mut_ptr()) };
        // SAFETY: null, or a pointer to the connection's handle.
        let handle = unsafe { connection.as_ref() }.copied().filter(|handle| !handle.is_null());
        let handle = handle.ok_or("the engine gives no connection")?;
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Connection { functions: self.functions, handle, number })
    }
}

impl Connection {
    /// Which one it is.
    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// What a statement gives in a format, or what the engine says against it.
    pub(crate) fn query(&self, sql: &[u8], format: &str) -> Result<Vec<u8>, String> {
        let Functions { query, error, buffer, length, destroy } = self.functions;
        // SAFETY: both texts are given with their lengths, and the handle is of a connection that is open.
        let result = unsafe {
            query(self.handle, sql.as_ptr().cast(), sql.len(), format.as_ptr().cast(), format.len())
        };
        if result.is_null() {
            return Err("Code: 0. the engine gives no result".to_owned());
        }
        // SAFETY: the result is there until it is destroyed below; what it points to is copied before.
        let told = unsafe {
            let words = error(result);
            if words.is_null() {
                let (start, length) = (buffer(result), length(result));
                let is_empty = start.is_null() || length == 0;
                Ok(if is_empty {
                    Vec::new()
                } else {
                    std::slice::from_raw_parts(start, length).to_vec()
                })
            } else {
                Err(CStr::from_ptr(words).to_string_lossy().into_owned())
            }
        };
        // SAFETY: it is not used any more.
        unsafe { destroy(result) };
        told
    }
}
