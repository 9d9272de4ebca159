//! The launch digest of an SNP guest, as the library of the VirTEE project computes it.
//! Arguments: vCPUs, vCPU type, firmware, kernel, initrd, command line.

use sev::error::MeasurementError;
use sev::measurement::snp::{snp_calc_launch_digest, SnpMeasurementArgs};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};

fn main() -> Result<(), MeasurementError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vcpus, vcpu_type, firmware, kernel, initrd, command_line] = arguments.as_slice() else {
        eprintln!("usage: snp-digest VCPUS TYPE FIRMWARE KERNEL INITRD COMMAND-LINE");
        std::process::exit(64);
    };
    let digest = snp_calc_launch_digest(SnpMeasurementArgs {
        vcpus: vcpus.parse().expect("a number of vCPUs"),
        vcpu_type: CpuType::try_from(vcpu_type.as_str())?,
        guest_features: GuestFeatures(1),
        ovmf_file: firmware.into(),
        kernel_file: Some(kernel.into()),
        initrd_file: Some(initrd.into()),
        append: Some(command_line),
        ovmf_hash_str: None,
        vmm_type: Some(VMMType::QEMU),
    })?;
    println!("{digest:x}");
    Ok(())
}
