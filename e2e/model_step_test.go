package e2e

// after is the state after an operation that ended so, while others were under way; false: that breaks a promise.
func (s state) after(o op, end outcome, others []op, c caches) (state, bool) {
	s = s.clone()
	switch o.What {
	case "export":
		return s, s.export(o, end, others)
	case "import":
		delete(s.stale, o.A)
		return s, s.mayImport(o.A, end, false, c)
	case "put":
		l := s.layers[o.A]
		l.there, l.hidden = yes, no
		s.layers[o.A] = l
		return s, end.How == fine
	case "put wrong":
		return s, end.How == failed
	case "read":
		return s, s.mayRead(s.layers[o.A], end)
	case "unlink":
		return s, s.unlink(o.A, end)
	case "drop":
		if s.deletes && end.How == fine && s.names[o.A].shown {
			delete(s.names, o.A)
		}
		return s, end.How == fine || end.How == absent || anyIs(others, sameIndex(o))
	}
	if o.Who == outsider {
		s.outside(o)
		return s, end.How == fine
	}
	return s, s.scratch(o, end)
}

// sameIndex says whether an operation takes the lock of the same index.json.
func sameIndex(o op) func(op) bool {
	return func(p op) bool { return p.A == o.A && (p.What == "export" || p.What == "drop") }
}

// disturbs says whether an operation may make an export fail beside which it is done: two in one directory are
// no better than on a plain folder, and a layer may be gone between when it was found there and when it is named.
func disturbs(o op) func(op) bool {
	return func(p op) bool {
		return sameIndex(o)(p) || (p.What == "unlink" || p.What == "lose layer" || p.What == "spoil layer") && has(o.B, p.A) || p.What == "lose manifest"
	}
}

func (s state) export(o op, end outcome, others []op) bool {
	if end.How == fine {
		s.eachLayer(o.B, func(l *layerState) { l.there, l.hidden = yes, no })
		s.names[o.A] = nameState{layers: o.B, ours: true, shown: true}
		return true
	}
	s.eachLayer(o.B, func(l *layerState) {
		l.there = max(l.there, maybe)
		l.hidden = min(l.hidden, maybe)
	})
	spoiled := !s.every(o.B, func(l layerState) bool { return !l.spoiled })
	return end.How == failed && (spoiled || anyIs(others, disturbs(o)))
}

// mayImport says whether an import may end so. On another host nothing is known from before: there all that is
// offered can be read, unless it was spoiled.
func (s state) mayImport(name int, end outcome, elsewhere bool, c caches) bool {
	n := s.names[name]
	if !n.shown || end.How == wrong {
		return end.How == absent
	}
	layers, known := c.set(end.Layers)
	all := known && layers == n.layers && end.How == fine
	switch {
	case !known || layers&^n.layers != 0:
		return false
	case !s.every(n.layers, layerState.whole):
		spoiled := !s.every(n.layers, func(l layerState) bool { return !l.spoiled })
		return end.How != failed || spoiled || !elsewhere
	case s.headless[n.layers]:
		return all || !elsewhere && end.How != fine
	}
	return all && (!n.ours || end.Manifest == c.manifest(n.layers))
}

func (s state) mayRead(l layerState, end outcome) bool {
	switch {
	case end.How == wrong:
		return false
	case l.mustShow():
		return end.How == fine
	case !l.mayShow():
		return end.How == absent
	}
	return true
}

// unlink drops what is here of a layer, and hides it if no name needs it.
func (s state) unlink(layer int, end outcome) bool {
	l := s.layers[layer]
	if end.How != fine {
		return end.How == absent && !l.mustShow()
	}
	may := l.mayShow()
	switch reached, ours := s.reached(layer); {
	case ours:
	case reached || len(s.stale) > 0:
		l.hidden = max(l.hidden, maybe)
	default:
		l.hidden = yes
	}
	s.layers[layer] = l
	return may
}

// outside is what the outsider does. The layers that he publishes are there; they may have been missed a moment ago,
// and that is believed until a name appears.
func (s state) outside(o op) {
	switch o.What {
	case "publish":
		s.eachLayer(o.B, func(l *layerState) {
			if !l.mustShow() {
				l.hidden = maybe
			}
			l.there = yes
		})
		s.names[o.A] = nameState{layers: o.B, shown: true}
		s.stale[o.A] = true
	case "delete name":
		delete(s.names, o.A)
		s.stale[o.A] = true
	case "spoil name", "empty name":
		s.names[o.A] = nameState{}
		s.stale[o.A] = true
	case "lose layer":
		s.eachLayer(1<<o.A, func(l *layerState) { l.lost = true })
	case "spoil layer":
		s.eachLayer(1<<o.A, func(l *layerState) { l.there, l.spoiled = max(l.there, maybe), true })
	case "lose manifest":
		if n := s.names[o.A]; n.ours {
			s.headless[n.layers] = true
		}
	}
}

// scratch is what is done with scratch files, by whomever: all see the same at once.
func (s state) scratch(o op, end outcome) bool {
	content, there := s.files[o.A]
	switch o.What {
	case "write scratch":
		s.files[o.A] = o.B
		return end.How == fine
	case "read scratch":
		return there && end.How == fine && end.Content == content || !there && end.How == absent
	case "move scratch":
		if there {
			delete(s.files, o.A)
			s.files[o.B] = content
		}
	case "remove scratch":
		delete(s.files, o.A)
	case "kill": // what was removed is an entry of the index, which can be lost
		s.eachLayer(1<<modelLayers-1, func(l *layerState) { l.hidden = min(l.hidden, maybe) })
		return end.How == fine
	default:
		return end.How == fine
	}
	return there && end.How == fine || !there && end.How == absent
}
