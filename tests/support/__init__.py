"""What tests share: parity with torch many cases to a compile, planted faults, samples, random programs."""
