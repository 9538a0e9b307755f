package api

import (
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// describeBody puts the schema of a saga's input into the description of an operation, whose body is
// checked by the saga's own parser. What path and headers say is left out, and so is what is not
// available yet; nothing is required but what is named.
func describeBody[T any](api huma.API, op huma.Operation, required ...string) {
	schemas := api.OpenAPI().Components.Schemas
	body := api.OpenAPI().Paths[op.Path].Post.RequestBody
	body.Content = map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(typeOf[T](), true, "")}}
	body.Required = len(required) > 0
	relax(schemas, typeOf[T](), map[reflect.Type]bool{})
	omitFields[T](api, "tenant", "model_id", "actor")
	schemaOf(schemas, typeOf[T]()).Required = required
}

// omitFields takes fields out of the described type.
func omitFields[T any](api huma.API, names ...string) {
	schema := schemaOf(api.OpenAPI().Components.Schemas, typeOf[T]())
	for _, name := range names {
		delete(schema.Properties, name)
	}
	schema.Required = slices.DeleteFunc(schema.Required, func(name string) bool { return slices.Contains(names, name) })
}

func schemaOf(schemas huma.Registry, t reflect.Type) *huma.Schema {
	return schemas.SchemaFromRef(schemas.Schema(t, true, "").Ref)
}

// relax walks an input's types: inputs have defaults, so nothing is required; fields tagged later go.
func relax(schemas huma.Registry, t reflect.Type, walked map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || walked[t] || !strings.HasPrefix(t.PkgPath(), "phantom/") {
		return
	}
	walked[t] = true
	schema := schemaOf(schemas, t)
	if schema == nil {
		return
	}
	schema.Required = nil
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); field.Tag.Get("later") != "" {
			delete(schema.Properties, name)
			continue
		}
		relax(schemas, field.Type, walked)
	}
}

// nullable says of each object that may be missing that it is null then. Pointers to anything else are said to be so already,
// and what is left out when it is empty is never null.
func nullable(schemas huma.Registry) {
	for name, schema := range schemas.Map() {
		t := schemas.TypeFromRef("#/components/schemas/" + name)
		if t == nil || t.Kind() != reflect.Struct {
			continue
		}
		for _, field := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			property := schema.Properties[name]
			if property == nil || property.Ref == "" || field.Type.Kind() != reflect.Pointer || strings.Contains(options, "omit") {
				continue
			}
			schema.Properties[name] = &huma.Schema{
				Description: property.Description, AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
			}
		}
	}
}
