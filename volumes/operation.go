package volumes

import mesos "github.com/mesos/mesos-go/api/v1/lib"

// The operations of one ACCEPT run in order but not atomically (Mesos rule 28):
// each has an id of its own, by which its feedback is recognised, also when
// that carries no uuid (rule 35).

// ReserveOp reserves a Grant's Reserve.
func ReserveOp(opID string, rs []mesos.Resource) mesos.Offer_Operation {
	return mesos.Offer_Operation{
		Type: mesos.Offer_Operation_RESERVE, ID: &mesos.OperationID{Value: opID},
		Reserve: &mesos.Offer_Operation_Reserve{Resources: rs},
	}
}

// CreateOp makes the persistent volumes of a Grant's Create (Mesos rule 32).
func CreateOp(opID string, volumes []mesos.Resource) mesos.Offer_Operation {
	return mesos.Offer_Operation{
		Type: mesos.Offer_Operation_CREATE, ID: &mesos.OperationID{Value: opID},
		Create: &mesos.Offer_Operation_Create{Volumes: volumes},
	}
}

// DestroyOp destroys persistent volumes and the data on them.
func DestroyOp(opID string, volumes []mesos.Resource) mesos.Offer_Operation {
	return mesos.Offer_Operation{
		Type: mesos.Offer_Operation_DESTROY, ID: &mesos.OperationID{Value: opID},
		Destroy: &mesos.Offer_Operation_Destroy{Volumes: volumes},
	}
}

// UnreserveOp gives reserved resources back; it comes after DestroyOp.
func UnreserveOp(opID string, rs []mesos.Resource) mesos.Offer_Operation {
	return mesos.Offer_Operation{
		Type: mesos.Offer_Operation_UNRESERVE, ID: &mesos.OperationID{Value: opID},
		Unreserve: &mesos.Offer_Operation_Unreserve{Resources: rs},
	}
}

// LaunchOp launches tasks. It has no id: the master answers an id on LAUNCH
// with TASK_ERROR (Mesos rule 34).
func LaunchOp(tasks ...mesos.TaskInfo) mesos.Offer_Operation {
	return mesos.Offer_Operation{
		Type:   mesos.Offer_Operation_LAUNCH,
		Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks},
	}
}

// Release says what to DESTROY and then to UNRESERVE so that a holding is given
// back, in that order: UNRESERVE fails while a volume exists (Mesos rule 31).
// With keepVolume nothing is destroyed and all disk stays reserved; only cpus,
// mem and ports are given back. A foreign holding is never released: both
// answers are empty.
func Release(h Holding, keepVolume bool) (destroy, unreserve []mesos.Resource) {
	if h.Foreign {
		return nil, nil
	}
	return undo(h.Resources, keepVolume)
}

// undo lists DESTROY and UNRESERVE of resources under one reservation.
func undo(rs []mesos.Resource, keepVolume bool) (destroy, unreserve []mesos.Resource) {
	for _, r := range rs {
		if r.Name == nameDisk {
			if keepVolume {
				continue
			}
			if isVolume(&r) {
				destroy = append(destroy, r)
				r = diskOf(scalarOf(&r), r.Disk.Source, r.Reservations)
			}
			// Two volumes on one disk leave one piece of disk behind.
			unreserve = merge(unreserve, r)
			continue
		}
		unreserve = append(unreserve, r)
	}
	return destroy, unreserve
}
