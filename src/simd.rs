//! Loops compiled for several instruction sets, chosen from when they run.

pub(crate) use fearless_simd::Level as Arch;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use fearless_simd::Simd;

/// Runs `f` compiled for the widest instruction set of this machine.
///
/// Mark the closure and what it calls `#[inline(always)]`: only what is inlined is compiled anew, and no test fails where it
/// is not: `cargo bench --bench noise` takes more than twice as long then. No instruction set changes a result, since no sum
/// is reordered and no product joined with a sum.
#[inline]
pub(crate) fn vectorized(f: impl FnMut()) {
    on(Arch::new(), f);
}

/// The same for this instruction set: AVX-512, AVX2, or what every processor of the target has.
#[inline]
pub(crate) fn on(arch: Arch, f: impl FnMut()) {
    // A closure that can be called only once is inlined itself, where of others it is a function that calls them.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = arch.as_avx512() {
        return simd.vectorize(
            #[inline(always)]
            || once(f),
        );
    } else if let Some(simd) = arch.as_avx2() {
        return simd.vectorize(
            #[inline(always)]
            || once(f),
        );
    }
    let _ = arch;
    once(f);
}

#[inline(always)]
fn once(mut f: impl FnMut()) {
    f();
}

/// How many sums run beside each other.
const LANES: usize = 16;

/// The sum of a term for every element of slices that are equally long, in an order that no machine changes: sixteen
/// sums of every sixteenth term, then halves of them. The term is made of slices and a place in them.
pub(crate) fn sum<T, const N: usize>(
    slices: [&[T]; N],
    term: impl Fn([&[T]; N], usize) -> f64,
) -> f64 {
    let mut sums = [0.0; LANES];
    vectorized(
        #[inline(always)]
        || {
            // Its own, which stay in registers: nothing else can point to them.
            let mut lanes = [0.0; LANES];
            let length = slices.first().map_or(0, |slice| slice.len());
            for i in 0..length / LANES {
                let parts = parts(slices, i * LANES, LANES);
                for (k, lane) in lanes.iter_mut().enumerate() {
                    *lane += term(parts, k);
                }
            }
            let rest = length % LANES;
            let parts = parts(slices, length - rest, rest);
            for (k, lane) in lanes[..rest].iter_mut().enumerate() {
                *lane += term(parts, k);
            }
            sums = lanes;
        },
    );
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for k in 0..width {
            sums[k] += sums[k + width];
        }
    }
    sums[0]
}

#[inline(always)]
fn parts<T, const N: usize>(mut slices: [&[T]; N], from: usize, length: usize) -> [&[T]; N] {
    // `map` of an array is a call where it is not inlined.
    for slice in &mut slices {
        *slice = &slice[from..from + length];
    }
    slices
}

/// Every instruction set that this machine has.
#[cfg(test)]
pub(crate) fn all() -> Vec<Arch> {
    let mut all = vec![Arch::baseline()];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    all.extend(Arch::new().as_avx2().map(Simd::level));
    all.push(Arch::new());
    all
}
