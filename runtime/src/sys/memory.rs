//! Memory of a process that starts things rarely and waits for a long time: it keeps only what it uses.

/// Stack below the caller that may have been used before. The kernel keeps far more address space free there (128 MiB on all
/// architectures), so nothing else can lie in it.
const STACK_BYTES: usize = 512 * 1024;
/// Stack below the caller that is left alone: the calls in here use it.
const STACK_BYTES_KEPT: usize = 16 * 1024;
/// A range must begin and end at a page; where pages have several sizes, the largest.
const PAGE_BYTES_MAX: usize = if cfg!(target_arch = "x86_64") {
    4 * 1024
} else {
    64 * 1024
};
/// Allocations from this size on are mappings of their own: their pages cost nothing before they are used, and go when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 32 * 1024;

/// Makes the allocator keep large pieces apart from the heap, where its spare end is too small for them. To be called before anything large is allocated.
pub fn keep_large_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two integers; it changes how later allocations are made, which nobody can see.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
}

/// Gives the kernel back what the heap has free, and the stack below the caller. To be called by the main thread only, from a shallow
/// place; costs some microseconds.
#[inline(never)]
pub fn release_unused() {
    // SAFETY: the call takes an integer and releases pages that no allocation lies in.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let here = 0_u8;
    let end = ((&raw const here).addr() - STACK_BYTES_KEPT) / PAGE_BYTES_MAX * PAGE_BYTES_MAX;
    let start = std::ptr::without_provenance_mut::<libc::c_void>(end - STACK_BYTES);
    // SAFETY: the range lies below this function's frame and that of the call in it, where the main thread's stack has no live data:
    // it grows downwards. What is not mapped is passed over, with an error that means nothing here.
    unsafe {
        libc::madvise(start, STACK_BYTES, libc::MADV_DONTNEED);
    }
}
